package command

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/build"
)

// Wrong usage: one line that says what and where to read, exit code 2.
func TestUsage(t *testing.T) {
	cases := []struct {
		args string
		want string
	}{
		{"", "wirehost: no command given; see 'wirehost --help'"},
		{"srve", `wirehost: unknown command "srve", did you mean serve?; see 'wirehost --help'`},
		{"frobnicate", `wirehost: unknown command "frobnicate"; see 'wirehost --help'`},
		{"serve now", `wirehost: found the argument "now", wanted none after the command; see 'wirehost serve --help'`},
		{"serve --port 1", `wirehost: unknown flag: --port; see 'wirehost serve --help'`},
		{"serve -x", `wirehost: unknown shorthand flag: 'x' in -x; see 'wirehost serve --help'`},
		{"serve --config", `wirehost: flag needs an argument: --config; see 'wirehost serve --help'`},
		{"validate a.yaml", `wirehost: found the argument "a.yaml", wanted none after the command; see 'wirehost ` +
			`validate --help'`},
		{"inspect", `wirehost: found no FILE.wasm; see 'wirehost inspect --help'`},
		{"inspect a b", `wirehost: found the argument "b", wanted none after FILE.wasm; see 'wirehost inspect --help'`},
		{"inspect a -o xml", `wirehost: invalid argument "xml" for "-o, --output" flag: found "xml", wanted text or ` +
			`json; see 'wirehost inspect --help'`},
		{"completion", "wirehost: no command given; see 'wirehost completion --help'"},
		{"completion ksh", `wirehost: unknown command "ksh", did you mean bash or zsh or fish?; see 'wirehost ` +
			`completion --help'`},
		{"help srve", `wirehost: unknown command "srve", did you mean serve?; see 'wirehost help --help'`},
		{"version\x00\nx", `wirehost: unknown command "version\x00\nx"; see 'wirehost --help'`},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			args := strings.Split(tc.args, " ")
			if tc.args == "" {
				args = nil
			}
			got := command(t, args...)
			if got.code != exitUsage || got.stderr != tc.want+"\n" || got.stdout != "" {
				t.Errorf("found  %d %q %q\nwanted %d %q", got.code, got.stderr, got.stdout, exitUsage, tc.want+"\n")
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "help", "help serve", "serve --help", "inspect -h", "completion bash",
		"completion zsh", "completion fish", "completion powershell", "__complete ser"} {
		got := command(t, strings.Split(args, " ")...)
		if got.code != exitFine || len(got.stdout) < 10 {
			t.Errorf("%s: found %d %q %q", args, got.code, got.stdout, got.stderr)
		}
	}
	if got := command(t, "__complete", "inspect", "a", "-o", ""); !strings.HasPrefix(got.stdout, "text\njson\n") {
		t.Errorf("completion of -o: found %q", got.stdout)
	}
}

func TestVersion(t *testing.T) {
	got := command(t, "version", "-o", "json")
	var v build.Info
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != exitFine {
		t.Fatalf("%d %v: %q %q", got.code, err, got.stdout, got.stderr)
	}
	if v.Go != runtime.Version() || v.ABI != 1 || v.Version == "" || v.Wazero == "" {
		t.Errorf("found %+v", v)
	}
	if got := command(t, "version"); !strings.Contains(got.stdout, "abi      1\n") || got.code != exitFine {
		t.Errorf("found %d %q", got.code, got.stdout)
	}
	v = build.Of(&debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"},
			{Key: "vcs.time", Value: "2026-11-26T15:55:05Z"}, {Key: "vcs.modified", Value: "true"}},
		Deps: []*debug.Module{{Path: "github.com/tetratelabs/wazero", Version: "v1.12.0"}},
	})
	if v.Version != "v1.2.3" || v.Commit != "abc" || v.Time != "2026-11-26T15:55:05Z" || !v.Dirty ||
		v.Wazero != "v1.12.0" {
		t.Errorf("found %+v", v)
	}
}
