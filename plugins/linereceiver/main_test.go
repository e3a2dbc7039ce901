package main

import (
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start(config string) func() (*sdktest.Server, error) {
	return func() (*sdktest.Server, error) {
		return sdktest.Start(&factory{}, sdktest.Options{Config: config})
	}
}

func TestLines(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, config, input, want string
		closes                    bool
	}{
		{"lines", ``, "a\r\nbc\r\n\r\nrest", "a\r\nbc\r\n\r\n", false},
		{"bare LF is data", ``, "a\nb\r\n", "a\nb\r\n", false},
		{"longest", ``, x(16384) + "\r\n", x(16384) + "\r\n", false},
		{"too long", ``, "a\r\n" + x(16385) + "\r\nb\r\n", "a\r\n", true},
		{"too long, no end", `{"max_length": 5}`, "a\r\n" + x(7), "a\r\n", true},
		{"not yet too long", `{"max_length": 5}`, "a\r\n" + x(6), "a\r\n", false},
		{"delimiter", `{"delimiter": "--"}`, "a-b--c--", "a-b--c--", false},
		{"one byte", `{"delimiter": "\n"}`, "a\r\nb\n", "a\r\nb\n", false},
		{"raw is off", ``, "raw 2\r\nab\r\n", "raw 2\r\nab\r\n", false},
		{"raw", `{"raw": true}`, "a\r\nraw 4\r\n\r\n\r\nb\r\nraw 0\r\nraw 1\r\nzc\r\n", "a\r\n\r\n\r\nb\r\nzc\r\n",
			false},
		{"raw is no count", `{"raw": true}`, "raw x\r\nraw -1\r\nraw\r\n", "raw x\r\nraw -1\r\nraw\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := func() wirehost.Factory { return &factory{} }
			for _, r := range []sdktest.Result{
				sdktest.ChunkLaw(t, start(c.config), []byte(c.input)),
				sdktest.ReloadLaw(t, start(c.config), next, []byte(c.input)),
			} {
				if r.Output != c.want || r.Disconnecting != c.closes {
					t.Errorf("found %s\nwanted %q, closes %t", r, c.want, c.closes)
				}
			}
		})
	}
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"delimiter": ""}`:    `config.delimiter: found ""`,
		`{"max_length": 0}`:    "config.max_length: found 0",
		`{"max_length": "9"}`:  "config: json: cannot unmarshal string",
		`{"delimeter": "\n"}`:  `unknown field "delimeter"`,
		`{"raw": true, "x": 1`: "config: unexpected EOF",
	} {
		if _, err := start(config)(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, wanted %q", config, err, want)
		}
	}
}

func TestRestoreRefused(t *testing.T) {
	for name, state := range map[string]struct {
		version int32
		bytes   string
		want    string
	}{
		"version":            {2, "\x00\x00\x00", "found state version 2, wanted 1"},
		"empty":              {1, "", "cut short"},
		"line cut short":     {1, "\x00\x05ab", "cut short"},
		"no raw count":       {1, "\x00\x00", "raw count"},
		"more than that":     {1, "\x00\x00\x00\x00", "raw count"},
		"raw with no count":  {1, "\x02\x00\x00", "found raw mode true with 0"},
		"count and no raw":   {1, "\x00\x00\x07", "found raw mode false with 7"},
		"length of 2^63 - 1": {1, "\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short"},
	} {
		var p lines
		if err := p.RestoreState(state.version, []byte(state.bytes)); err == nil ||
			!strings.Contains(err.Error(), state.want) {
			t.Errorf("%s: found error %v, wanted %q", name, err, state.want)
		}
	}
}

// What RestoreState takes, SaveState gives back; the rest is refused.
func FuzzRestoreState(f *testing.F) {
	for _, s := range []string{"\x00\x00\x00", "\x00\x04half\x00", "\x02\x00\x07", "\x01\x02ab\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		var p, again lines
		if p.RestoreState(stateVersion, state) != nil {
			return
		}
		saved, ok := p.SaveState()
		if err := again.RestoreState(stateVersion, saved); !ok || err != nil {
			t.Fatalf("%q was taken and saved as %q: %v", state, saved, err)
		}
		if twice, _ := again.SaveState(); string(twice) != string(saved) {
			t.Fatalf("%q was saved as %q, and then as %q", state, saved, twice)
		}
	})
}
