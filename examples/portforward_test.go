package examples

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/internal/transcript"
)

// listen accepts connections of a test's own, and gives each to accepted, in a
// goroutine that the test waits for.
func listen(t *testing.T, accepted func(*net.TCPConn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted(c.(*net.TCPConn))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// forwardTo has portforward go to a test's own target, in place of the echo
// protocol.
func forwardTo(t *testing.T, addr string, isolation config.Isolation) *server {
	t.Helper()
	module := build(t, "portforward")
	return serve(t, "portforward", func(cfg *config.Config) {
		p := cfg.Plugins["portforward"]
		p.Module, p.Isolation = module, isolation
		p.Allow.Connect = []string{"tcp://" + addr}
		p.Config = map[string]any{"target": "tcp://" + addr}
		cfg.Plugins = maps.Clone(cfg.Plugins)
		cfg.Plugins["portforward"] = p
		delete(cfg.Plugins, "echo")
		cfg.Listeners = cfg.Listeners[:1]
	})
}

// TestPortforwardNetcat ends its side, and is answered still.
func TestPortforwardNetcat(t *testing.T) {
	nc := tooltest.Find(t, "nc", "Debian: apt-get install netcat-openbsd")
	s := forwardTo(t, listen(t, func(c *net.TCPConn) {
		sum := sha256.New()
		n, err := io.Copy(sum, c) // to the end of what nc sends
		fmt.Fprintf(c, "%d %v %x\n", n, err, sum.Sum(nil))
	}), "loop")
	text := strings.Repeat("0123456789abcde\n", 1<<16)
	want := fmt.Sprintf("%d <nil> %x\n", len(text), sha256.Sum256([]byte(text)))
	if got := run(t, text, nc, "-N", "127.0.0.1", s.port("portforward")); got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
}

func TestPortforwardReload(t *testing.T) { reloadRelay(t, forwardTo, "portforward") }

// reloadRelay reloads the plugin that passes a connection on, before the end of the request,
// behind it, and in the middle of 24 MiB, more than sockets hold, that the client does not
// read yet, then with those that pass it on behind it. serve serves it before the target at addr.
func reloadRelay(t *testing.T, serve func(t *testing.T, addr string, isolation config.Isolation) *server,
	plugin string, behind ...string) {
	t.Helper()
	answer := bytes.Repeat([]byte("0123456789abcde\n"), 3<<19)
	for _, isolation := range []config.Isolation{config.IsolationConnection, config.IsolationLoop,
		config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			read, reloaded := make(chan string), make(chan struct{})
			s := serve(t, listen(t, func(c *net.TCPConn) {
				b := make([]byte, 4)
				n, err := io.ReadFull(c, b)
				read <- fmt.Sprintf("%s %v", b[:n], err)
				b, err = io.ReadAll(c)
				read <- fmt.Sprintf("%s %v", b, err)
				<-reloaded
				if _, err := c.Write(answer); err != nil {
					t.Error(err)
				}
			}), isolation)
			expect := func(want string) {
				t.Helper()
				if got := <-read; got != want+" <nil>" {
					t.Errorf("the target read %q, wanted %q", got, want)
				}
			}
			reload := func(plugin string) {
				t.Helper()
				out, err := s.ReloadPlugin(context.Background(), plugin, true)
				if err != nil || out.Migrated != 2 {
					t.Errorf("%v, %v, wanted two connections migrated\n%s", out, err, s.log)
				}
			}
			c := s.dial(t, plugin)
			if err := c.SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			c.send("one ")
			expect("one ")
			reload(plugin)
			c.send("two")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			expect("two")
			reload(plugin)
			close(reloaded)
			c.expect(string(answer[:1<<20]))
			for _, name := range append([]string{plugin}, behind...) {
				reload(name)
			}
			if rest := c.rest(); rest != string(answer[1<<20:]) {
				t.Errorf("found %d bytes behind the first MiB", len(rest))
			}
		})
	}
}

// TestPortforwardReset: a reset stays one, both ways.
func TestPortforwardReset(t *testing.T) { resetRelay(t, forwardTo, "portforward") }

// resetRelay resets a connection that the plugin passes on, at the target's end and at the client's.
// serve serves it before the target at addr.
func resetRelay(t *testing.T, serve func(t *testing.T, addr string, isolation config.Isolation) *server,
	plugin string) {
	t.Helper()
	found := make(chan error, 1)
	s := serve(t, listen(t, func(c *net.TCPConn) {
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Error(err)
		}
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			found <- err // the client's reset
			return
		}
		if err := c.SetLinger(0); err != nil { // so that close is a reset
			t.Error(err)
		}
	}), config.IsolationLoop)

	c := s.dial(t, plugin)
	c.expect("hello")
	c.send("x")
	if n, err := c.r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("found %d bytes, %v, wanted a reset", n, err)
	}

	c = s.dial(t, plugin)
	c.expect("hello")
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-found; err == io.EOF {
		t.Error("the target found the end of the stream, wanted a reset")
	}
}

// TestPortforwardTranscript: both ends of a relay, cut everywhere, and a reload in the middle.
func TestPortforwardTranscript(t *testing.T) {
	const file = "portforward/portforward.transcript"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := transcript.Parse(file, string(text))
	if err != nil {
		t.Fatal(err)
	}
	p := config.DefaultPlugin()
	p.Module, p.Limits.CallbackTime = build(t, "portforward"), patience
	if _, err := transcript.Run(context.Background(), transcript.Plugin{Config: p}, tr); err != nil {
		t.Error(err)
	}
}
