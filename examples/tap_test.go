package examples

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// rustc compiles an example's file of Rust.
func rustc(t *testing.T, file, out string, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a guest")
	}
	const install = "rustup target add wasm32-unknown-unknown, or apt-get install rustc libstd-rust-dev-wasm32"
	program := tooltest.Find(t, "rustc", install)
	cmd := exec.Command(program, append([]string{"--edition", "2021", "-D", "warnings", "-o", out, file}, args...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
}

// tap is the module of tap, built once.
func tap(t *testing.T) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if path, ok := built.paths["tap"]; ok {
		return path
	}
	readSources(t, "../sdk/rust/*.rs", "tap/*.rs")
	path := filepath.Join(built.dir, "tap.wasm")
	rustc(t, "tap/tap.rs", path, "--crate-type", "cdylib", "--target", "wasm32-unknown-unknown", "-C", "opt-level=s",
		"-C", "lto", "-C", "panic=abort", "-C", "strip=debuginfo")
	built.paths["tap"] = path
	return path
}

// serveTap serves tap in front of echo, with what its plugin's section has besides.
func serveTap(t *testing.T, edit func(*config.Config)) *server {
	t.Helper()
	echo := build(t, "../plugins/echo")
	return serve(t, "tap", func(c *config.Config) {
		p := c.Plugins["tap"]
		p.Module, p.Limits.CallbackTime = tap(t), patience
		c.Plugins["tap"] = p
		e := c.Plugins["echo"]
		e.Module = echo
		c.Plugins["echo"] = e
		if edit != nil {
			edit(c)
		}
	})
}

// tapTo has tap stand in front of portforward, so that a test's own target is behind it.
func tapTo(t *testing.T, addr string, isolation config.Isolation) *server {
	t.Helper()
	module := build(t, "portforward")
	return serveTap(t, func(c *config.Config) {
		p := config.DefaultPlugin()
		p.Module, p.Limits.CallbackTime = module, patience
		p.Allow.Connect, p.Config = []string{"tcp://" + addr}, map[string]any{"target": "tcp://" + addr}
		delete(c.Plugins, "echo")
		c.Plugins["forward"] = p
		for name, p := range c.Plugins {
			p.Isolation = isolation
			c.Plugins[name] = p
		}
		c.Listeners[0].Chain = []string{"tap", "forward"}
	})
}

// TestTapNative runs tap's own tests.
func TestTapNative(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tests")
	rustc(t, "tap/tap.rs", program, "--test")
	run(t, "", program)
}

// TestTap: what nc sends, and what comes back, is in the log, as much of it as shall be.
func TestTap(t *testing.T) {
	nc := tooltest.Find(t, "nc", "Debian: apt-get install netcat-openbsd")
	for _, c := range []struct {
		config map[string]any
		shown  string
	}{
		{nil, `11 bytes: hello\x00there`},
		{map[string]any{"bytes": 3}, "11 bytes: hel…"},
		{map[string]any{"bytes": 2, "hex": true}, "11 bytes: 68 65…"},
	} {
		s := serveTap(t, func(cfg *config.Config) {
			p := cfg.Plugins["tap"]
			if c.config != nil {
				p.Config = c.config
			}
			cfg.Plugins["tap"] = p
		})
		if out := run(t, "hello\x00there", nc, "-N", "127.0.0.1", s.port("tap")); out != "hello\x00there" {
			t.Errorf("found %q", out)
		}
		for _, side := range []string{"client", "server"} {
			s.await(t, "[INFO]", "tap", "connection ", side+": "+c.shown)
			s.await(t, side+": has sent all")
		}
	}
}

func TestTapReload(t *testing.T) { reloadRelay(t, tapTo, "tap", "forward") }

// TestTapReset: a reset stays one, both ways, and who can't be reached is as one.
func TestTapReset(t *testing.T) {
	resetRelay(t, tapTo, "tap")

	s := tapTo(t, "127.0.0.1:"+tooltest.FreePort(t), config.IsolationLoop)
	conn, err := net.Dial("tcp", s.addr["tap"]) // which may see the reset already
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || err == io.EOF {
		t.Errorf("found %v, wanted a reset", err)
	}
}

// TestTapInTap: two stand behind one another, and each has its say.
func TestTapInTap(t *testing.T) {
	s := serveTap(t, func(c *config.Config) {
		c.Plugins["second"] = c.Plugins["tap"]
		c.Listeners[0].Chain = []string{"tap", "second", "echo"}
	})
	c := s.dial(t, "tap")
	c.send("hello")
	c.expect("hello")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := c.rest(); rest != "" {
		t.Errorf("found %q behind the end", rest)
	}
	if n := strings.Count(s.log.String(), "bytes: hello"); n != 4 {
		t.Errorf("found %d pieces in the log, wanted 4\n%s", n, s.log)
	}
}
