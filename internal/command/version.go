package command

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/internal/build"
)

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print what this command was built from", Args: arguments()}
	format := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := build.Read()
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

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
