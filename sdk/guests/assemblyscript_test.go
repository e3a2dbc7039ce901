package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// framers is a guest that answers each string with <string>, and does what some of
// them say: echo sends the string as one of its own kind; pause receives nothing for
// a moment and then says [due]; close closes; later says [later] in a moment; call
// ENDPOINT connects there, and tells in brackets what it heard, how it ended or why
// there was no call; tls asks for TLS.
const framers = "framers"

// AssemblyScript runs nowhere but in a host, so its SDK's receivers of strings,
// timers, client connections and states are tested in one.
func TestAssemblyScriptFramers(t *testing.T) {
	of := func(kind string) map[string]any { return map[string]any{"kind": kind} }
	tests := []struct {
		name   string
		config map[string]any
		input  string
		want   string
		closes bool // at the end of input
	}{
		{"netstrings", nil, "0:,3:a:b,12:hello world!,1:", "<><a:b><hello world!>", false},
		{"netstring sent", nil, "4:echo,1:x,", "<echo>4:echo,<x>", false},
		{"Date and Math.random", nil, "4:date,", "<date>[2026-01-01T00:00:00.000Z]", false},
		{"no comma", nil, "1:a,x", "<a>", true},
		{"no length", nil, ":", "", true},
		{"needless 0", nil, "1:a,01", "<a>", true},
		{"longer than its length", nil, "1:ab", "", true},
		{"longer than max_length", map[string]any{"max_length": 5}, "5:12345,6", "<12345>", true},
		{"closed by the guest", nil, "5:close,", "<close>", true},
		{"paused until a timer is due", nil, "5:pause,1:a,5:close,", "<pause>[due]<a><close>", true},
		{"int8", of("int8"), "\x00\x02ab\x04echo\x03x", "<><ab><echo>\x04echo", false},
		{"int16", of("int16"), "\x00\x00\x00\x04echo\x00\x01", "<><echo>\x00\x04echo", false},
		{"int16 over max_length", map[string]any{"kind": "int16", "max_length": 300}, "\x00\x01a\x01\x2d",
			"<a>[over 301]", true},
		{"int32", of("int32"), "\x00\x00\x00\x04echo\x00\x00\x00\x01b\x00\x00", "<echo>\x00\x00\x00\x04echo<b>", false},
		{"int32 over all bounds", of("int32"), "\x00\x00\x00\x01a\xff\xff\xff\xff", "<a>", true},
	}
	module := build(t, languageNamed("AssemblyScript"), framers)
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, config.Plugin{Module: module, Config: c.config})
			for _, pieces := range cuts(c.input) {
				if found := exchange(t, s.addr, c.closes, pieces...); found != c.want {
					t.Fatalf("%q: found %q, wanted %q", pieces, found, c.want)
				}
			}
		})
	}
}

func languageNamed(name string) language {
	for _, l := range languages() {
		if l.name == name {
			return l
		}
	}
	panic("no language " + name)
}

// netstring is one on the wire.
func netstring(s string) string { return fmt.Sprintf("%d:%s,", len(s), s) }

func TestAssemblyScriptCalls(t *testing.T) {
	l := languageNamed("AssemblyScript")
	module, assets := build(t, l, framers), t.TempDir()
	for name, text := range map[string]string{"pages/b": "", "a": "", "pages-old": "0123456789"} {
		file := filepath.Join(assets, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700),
			os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, config.Plugin{
				Module: module, Isolation: isolation, Assets: assets,
				Allow: config.Allow{Connect: []string{"tcp://127.0.0.1:*"}},
			})
			c := dial(t, s.addr)
			gone := dial(t, s.addr)
			say(t, gone, "5:later,5:close,", "<later><close>")
			if _, err := gone.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("after close: found %v, wanted the end", err)
			}
			say(t, c, "5:later,", "<later>[later]") // the other's timer would have been due

			call := "call tcp://" + s.addr // the guest calls itself
			say(t, c, netstring(call), "<"+call+">[heard <hi>][lost 0 ")
			readTo(t, c, "]")

			say(t, c, netstring("metrics"), "<metrics>[0][0][2][0][5][2]")
			info, err := s.Plugin("guest")
			if err != nil || len(info.Metrics) != 2 || info.Metrics[0].Value != 5 ||
				info.Metrics[1].Kind != "histogram" {
				t.Errorf("found %v, %v, wanted a counter of 5 and a histogram", info.Metrics, err)
			}

			say(t, c, netstring("assets"), "<assets>[a,pages-old,pages/b,10,0123456789,789]")

			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			call = "call tcp://" + closed.Addr().String()
			closed.Close()
			say(t, c, netstring(call), "<"+call+">[failed 9]")

			serve := "serve tcp://" + closed.Addr().String()
			say(t, c, netstring(serve), "<"+serve+">[failed 9][waited in vain 9]")
			serve = "serve tcp://192.0.2.1:1"
			say(t, c, netstring(serve), "<"+serve+">[not served: 4][waited in vain 2]")
			serve = "serve tcp://" + s.addr
			say(t, c, netstring(serve), "<"+serve+">[connected][lost 2 ")
			readTo(t, c, "][connected]")
			readTo(t, c, "[lost 0 ")
			readTo(t, c, "]")
			say(t, c, "4:tick,", "<tick>[tick][tick][tick]")

			call = "call tcp://192.0.2.1:1"
			say(t, c, netstring(call), "<"+call+">[not called: 4]")

			// A module that refuses the state changes nothing.
			p := s.cfg.Plugins["guest"]
			p.Module = build(t, l, lineReceiver)
			s.cfg.Plugins["guest"] = p
			say(t, c, "1:a,4:ha", "<a>")
			if _, err := s.Reload(context.Background(), s.cfg); err == nil ||
				!strings.Contains(err.Error(), "restoreState") {
				t.Fatalf("found %v, wanted a refused state", err)
			}
			say(t, c, "lf,", "<half>")
		})
	}
}

// A state of numbers, texts and sized bytes comes back as it was, and what is cut off is
// no state.
func TestAssemblyScriptStates(t *testing.T) {
	s := serve(t, config.Plugin{Module: build(t, languageNamed("AssemblyScript"), framers)})
	c := dial(t, s.addr)
	say(t, c, "1:a,4:ha", "<a>")
	if out, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil || out.Migrated != 1 {
		t.Fatalf("found %+v, %v", out, err)
	}
	say(t, c, "lf,", "<half>")
}

// Built with --runtime minimal, garbage is collected by the SDK: a counter that makes a
// string of each number has after a quarter of them the memory that it stays with.
func TestAssemblyScriptCollects(t *testing.T) {
	s := serve(t, config.Plugin{Module: build(t, languageNamed("AssemblyScript"), counter)})
	c := dial(t, s.addr)
	const lines, rounds = 100, 1200
	var early uint64
	for n := 1; n <= rounds; n++ {
		if _, err := io.WriteString(c, strings.Repeat("\r\n", lines)); err != nil {
			t.Fatal(err)
		}
		readTo(t, c, fmt.Sprintf("%d\r\n", n*lines))
		info, err := s.Plugin("guest")
		if err != nil {
			t.Fatal(err)
		}
		if n == rounds/4 {
			early = info.Memory
		}
		if n == rounds && info.Memory != early {
			t.Errorf("linear memory grew from %d to %d bytes", early, info.Memory)
		}
	}
}

func readTo(t testing.TB, c net.Conn, end string) {
	t.Helper()
	var b [1]byte
	for found := ""; !strings.HasSuffix(found, end); found += string(b[:]) {
		if _, err := c.Read(b[:]); err != nil {
			t.Fatalf("after %q: %v", found, err)
		}
	}
}
