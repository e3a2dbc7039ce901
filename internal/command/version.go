package command

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/abi"
)

// version is what the command was built from.
type version struct {
	Version string `json:"version"` // the tag, or a pseudo-version after it; (devel) where Go stamped none
	Commit  string `json:"commit"`  // "" = unknown
	Time    string `json:"time"`    // of the commit, RFC 3339; "" = unknown
	Dirty   bool   `json:"dirty"`   // there were changes on top of the commit
	Go      string `json:"go"`
	System  string `json:"system"`
	Wazero  string `json:"wazero"`
	ABI     int    `json:"abi"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print what this command was built from", Args: arguments()}
	format := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		info, _ := debug.ReadBuildInfo() // nil without module support
		v := versionOf(info)
		if *format == "json" {
			return printJSON(a.stdout, v)
		}
		commit := orElse(v.Commit, "unknown")
		if v.Time != "" {
			commit += " of " + v.Time
		}
		if v.Dirty {
			commit += ", changed"
		}
		_, err := fmt.Fprintf(a.stdout, "wirehost %s\ncommit   %s\ngo       %s %s\nwazero   %s\nabi      %d\n",
			v.Version, commit, v.Go, v.System, v.Wazero, v.ABI)
		return err
	}
	return cmd
}

// versionOf reads what Go stamps into a program: the tag and the commit where it was built in a clone, the tag
// alone where `go install PATH@TAG` fetched it.
func versionOf(info *debug.BuildInfo) version {
	v := version{Version: "(devel)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Wazero: "unknown", ABI: abi.Version}
	if info == nil {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/tetratelabs/wazero" {
			v.Wazero = d.Version
		}
	}
	return v
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
