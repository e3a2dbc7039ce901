package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// FuzzLoad: whatever a file, a variable and a flag say, Load returns a
// configuration that is within the rules, as Validate has it, or faults of one line
// each.
func FuzzLoad(f *testing.F) {
	for name, text := range formats {
		f.Add(name, text, "debug", "listeners.0.endpoint=tcp://:9")
	}
	f.Add("c.yaml", "plugins: {a: &a {module: x, config: {b: [*a, {<<: *a}]}}}\n", "~", "plugins.a.config.b.0=1")
	f.Add("c.yaml", "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n", "[", "reactor.write_buffer={high: 1, low: 2}")
	f.Add("c.toml", "[[a]]\n[[a.b]]\n[a.b.c]\nd=[[1],[{e=2}]]\n", "", "log")
	f.Add("c.json", `{"plugins":{"a":{"config":[[[{"b":1e400}]]]}}}`, "{}", "plugins.a.config.0.0.0=x")
	for _, long := range []string{"%s://h:1", "tcp://h:%s", "tcp://h %s:1", "tcp://[:%s]:1"} {
		f.Add("c.json", "{}", "info", "listeners.0.endpoint="+fmt.Sprintf(long, strings.Repeat("n", 3000)))
	}
	f.Fuzz(func(t *testing.T, name, text, level, set string) {
		l := newLoader()
		l.file("dir/"+name, []byte(text))
		l.assign(environment([]string{"WIREHOST_LOG__LEVEL=" + level, "WIREHOST_PLUGINS__A__CONFIG=" + level}))
		l.assign(settings("--set", []string{set}))
		c, err := l.finish()
		var faults Faults
		if errors.As(err, &faults) {
			for _, f := range faults {
				s := f.Error()
				if strings.ContainsAny(s, "\n\r\x1b") || strings.Contains(s, "decoding failed") ||
					len(s) > 2000+len(name) {
					t.Errorf("fault %q", s)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		for name, p := range c.Plugins {
			if _, err := json.Marshal(p.Config); err != nil || !validName(name) || p.Module == "" ||
				p.Limits.Timers < 1 {
				t.Errorf("plugin %q: %+v: %v", name, p, err)
			}
		}
		for _, ls := range c.Listeners {
			if _, known := c.Plugins[ls.Plugin]; !known || endpointFault(ls.Endpoint) != nil ||
				ls.TLS.HandshakeTimeout <= 0 {
				t.Errorf("listener %+v", ls)
			}
		}
	})
}

func TestSize(t *testing.T) {
	cases := []struct {
		text string
		want Size // -1 = none
		back string
	}{
		{"0", 0, "0"}, {"512", 512, "512"}, {"512B", 512, "512"}, {"64KiB", 64 << 10, "64KiB"},
		{"65536", 64 << 10, "64KiB"},
		{"16MiB", 16 << 20, "16MiB"}, {"1GiB", 1 << 30, "1GiB"}, {"2TiB", 2 << 40, "2TiB"}, {"1025", 1025, "1025"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"}, {"9223372036854775808", -1, ""},
		{"8388608TiB", -1, ""},
		{"", -1, ""}, {"KiB", -1, ""}, {"-1", -1, ""}, {"+1", -1, ""}, {"1.5MiB", -1, ""}, {"1KB", -1, ""},
		{"1 KiB", -1, ""}, {"1kib", -1, ""}, {"0x10", -1, ""}, {"1_0", -1, ""},
	}
	for _, tc := range cases {
		got, err := parseSize(tc.text)
		if (err != nil) != (tc.want < 0) || err == nil && got != tc.want {
			t.Errorf("%q: found %d, %v, wanted %d", tc.text, got, err, tc.want)
		}
		if err == nil && got.String() != tc.back {
			t.Errorf("%q: found %s, wanted %s", tc.text, got, tc.back)
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"level", "format"}
	for text, want := range map[string]string{"levle": "level", "LEVEL": "level", "lvl": "", "fromat": "format",
		"x": "", "": "", "formats": "format", "formation": ""} {
		if got := suggest(text, words); got != want {
			t.Errorf("%q: found %q, wanted %q", text, got, want)
		}
	}
}

// A small file must not become a long start.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("plugins: {a: {module: x, config: {a0: &a0 [x, x]")
	for i := 1; i < 26; i++ {
		was, is := string(rune('A'+i-1)), string(rune('A'+i))
		if i == 1 {
			was = "a0"
		}
		b.WriteString(", " + is + ": &" + is + " [*" + was + ", *" + was + "]")
	}
	b.WriteString("}}}\n")
	begun := time.Now()
	d := parseYAML("c.yaml", []byte(b.String()))
	if len(d.faults) != 1 || !strings.Contains(d.faults[0].Error(), "more than 200000 values") {
		t.Errorf("found %v", d.faults)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
