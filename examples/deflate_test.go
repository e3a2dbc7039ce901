package examples

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// serveDeflate serves deflate in front of echo.
func serveDeflate(t *testing.T, settings map[string]any) *server {
	t.Helper()
	module, echo := build(t, "deflate"), build(t, "../plugins/echo")
	return serve(t, "deflate", func(c *config.Config) {
		c.Reactor.Loops = 1
		for name, p := range c.Plugins {
			p.Module, p.Limits.CallbackTime, p.Limits.Memory = module, patience, 16<<20
			if name == "echo" {
				p.Module = echo
			} else if settings != nil {
				p.Config = settings
			}
			c.Plugins[name] = p
		}
	})
}

// python3 runs deflate's client.
func (s *server) python3(t *testing.T, stdin string) string {
	t.Helper()
	python := tooltest.Find(t, "python3", "Debian: apt-get install python3")
	return run(t, stdin, python, "deflate/client.py", "127.0.0.1", s.port("deflate"))
}

// TestDeflatePython: what Python's zlib sends comes back as it was.
func TestDeflatePython(t *testing.T) {
	s := serveDeflate(t, nil)
	text, err := os.ReadFile("deflate/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, stdin := range map[string]string{
		"nothing": "", "a line": "hello\n", "a page": string(text), "much": strings.Repeat(string(text), 100),
	} {
		if out := s.python3(t, stdin); out != stdin {
			t.Errorf("%s: found %d bytes, wanted %d", name, len(out), len(stdin))
		}
	}
}

// squeezed is a connection to deflate, as a program in Go has it.
type squeezed struct {
	*client
	in  *zlib.Writer
	out io.Reader // after the first byte came
}

func (s *server) squeeze(t *testing.T) *squeezed {
	c := s.dial(t, "deflate")
	return &squeezed{client: c, in: zlib.NewWriter(c)}
}

func (c *squeezed) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		c.t.Fatal(err)
	}
	if err := c.in.Flush(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *squeezed) hear(want string) {
	c.t.Helper()
	if c.out == nil {
		z, err := zlib.NewReader(c.r)
		if err != nil {
			c.t.Fatal(err)
		}
		c.out = z
	}
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c.out, b); err != nil || string(b) != want {
		c.t.Fatalf("found %.300q, %v, wanted %.300q", b[:n], err, want)
	}
}

// end has the client's stream end, and wants the end of what came.
func (c *squeezed) end() {
	c.t.Helper()
	if err := errors.Join(c.in.Close(), c.CloseWrite()); err != nil {
		c.t.Fatal(err)
	}
	if b, err := io.ReadAll(c.out); err != nil || len(b) > 0 {
		c.t.Fatalf("found %.300q, %v, wanted the end of the stream", b, err)
	}
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Fatalf("found %.300q, %v, wanted the end of the connection", b, err)
	}
}

// TestDeflate: each piece is answered when it has come, before the stream's end, and over
// a reload, which leaves the connection with the version that has its state.
func TestDeflate(t *testing.T) {
	s := serveDeflate(t, nil)
	c := s.squeeze(t)
	for i := range 3 {
		text := fmt.Sprintf("piece %d", i)
		c.say(text)
		c.hear(text)
		out, err := s.ReloadPlugin(context.Background(), "deflate", true)
		if err != nil || out.Migrated != 0 {
			t.Errorf("%v, %v, wanted nothing migrated", out, err)
		}
	}
	c.end()
}

// TestDeflateMalformed: what is no zlib stream, or only a part of one, ends in a reset, of
// which the log tells.
func TestDeflateMalformed(t *testing.T) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := io.WriteString(z, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	flip := func(i int) string { return whole[:i] + string(whole[i]^0xff) + whole[i+1:] }
	s := serveDeflate(t, nil)
	for _, c := range []struct{ name, sent, want string }{
		{"another protocol's", "GET / HTTP/1.1\r\n\r\n", "zlib: invalid header"},
		{"a block of no kind", whole[:2] + "\xff", "flate: corrupt input before offset"},
		{"a wrong sum", flip(len(whole) - 1), "zlib: invalid checksum"},
		{"half a header", whole[:1], "unexpected EOF"},
		{"cut", whole[:len(whole)-5], "unexpected EOF"},
		{"bytes behind it", whole + "x", "zlib: bytes behind the stream's end"},
		{"a dictionary that nobody has", "\x78\xbb\x01\x02\x03\x04", "zlib: invalid dictionary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := s.dial(t, "deflate")
			conn.send(c.sent)
			_ = conn.CloseWrite() // it may be reset already
			if _, err := io.ReadAll(conn.r); err == nil {
				t.Error("found the end of the stream, wanted a reset")
			}
			s.await(t, "[WARN]", "deflate", "connection of 127.0.0.1:", " reset: "+c.want)
		})
	}
}

// TestDeflateBomb: what becomes much of little passes as it is taken, in less memory than it
// has bytes; and not at all where config.ratio says so.
func TestDeflateBomb(t *testing.T) {
	const size = 24 << 20
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	if _, err := io.CopyN(z, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := serveDeflate(t, map[string]any{"ratio": 0, "level": 1})
	c := s.squeeze(t)
	if err := c.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		t.Fatal(err)
	}
	c.send(bomb.String())
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.hear("\x00")
	if n, err := io.Copy(io.Discard, c.out); err != nil || n != size-1 {
		t.Errorf("found %d bytes, %v, wanted %d", n, err, size-1)
	}

	s = serveDeflate(t, map[string]any{"ratio": 100, "level": 1})
	c = s.squeeze(t)
	c.send(bomb.String())
	if _, err := io.Copy(io.Discard, c.r); err == nil {
		t.Error("found the end of the stream, wanted a reset")
	}
	s.await(t, "[WARN]", "more than config.ratio")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
