// Package build tells what the running program was built from.
package build

import (
	"runtime"
	"runtime/debug"

	"github.com/wirehost/wirehost/abi"
)

// Info is what a program was built from.
type Info struct {
	Version string `json:"version"` // the tag, or a pseudo-version after it; (devel) where Go stamped none
	Commit  string `json:"commit"`  // "" = unknown
	Time    string `json:"time"`    // of the commit, RFC 3339; "" = unknown
	Dirty   bool   `json:"dirty"`   // there were changes on top of the commit
	Go      string `json:"go"`
	System  string `json:"system"`
	Wazero  string `json:"wazero"`
	ABI     int    `json:"abi"`
}

// Read is the running program's.
func Read() Info {
	info, _ := debug.ReadBuildInfo() // nil without module support
	return Of(info)
}

// Of reads what Go stamps into a program: the tag and the commit where it was built in a clone, the tag
// alone where `go install PATH@TAG` fetched it.
func Of(info *debug.BuildInfo) Info {
	v := Info{Version: "(devel)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
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
