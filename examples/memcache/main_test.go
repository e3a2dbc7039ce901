package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func fresh(c *exampletest.Clock) *factory {
	f := newFactory()
	f.now = c.Now
	return f
}

var dawn = time.Unix(1e9, 0) // never changed

func start(config string) func() (*sdktest.Server, error) {
	return func() (*sdktest.Server, error) {
		return sdktest.Start(fresh(&exampletest.Clock{At: dawn}), sdktest.Options{Config: config})
	}
}

func open(t *testing.T, f *factory, config string) (*sdktest.Server, *sdktest.Conn) {
	t.Helper()
	s, err := sdktest.Start(f, sdktest.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Accept()
}

// ask sends a request whose line ends are LF in the test's text.
func ask(t *testing.T, c *sdktest.Conn, request, want string) {
	t.Helper()
	c.Send(strings.ReplaceAll(request, "\n", "\r\n") + "\r\n")
	if want != "" {
		want = strings.ReplaceAll(want, "\n", "\r\n") + "\r\n"
	}
	if got := c.Take(); got != want {
		t.Errorf("%.80q: found %.200q, wanted %.200q", request, got, want)
	}
}

func TestCommands(t *testing.T) {
	_, c := open(t, fresh(&exampletest.Clock{At: dawn}), "")
	for _, one := range [][2]string{
		{"get k", "END"},
		{"set k 7 0 3\nabc", "STORED"},
		{"get k none k", "VALUE k 7 3\nabc\nVALUE k 7 3\nabc\nEND"},
		{"gets k", "VALUE k 7 3 1\nabc\nEND"},
		{"add k 0 0 1\nx", "NOT_STORED"},
		{"add l 0 0 1\nx", "STORED"},
		{"replace none 0 0 1\nx", "NOT_STORED"},
		{"replace l 0 0 1\ny", "STORED"},
		{"append none 0 0 1\nx", "NOT_STORED"},
		{"append k 9 9 2\nde", "STORED"},
		{"prepend k 9 9 1\n_", "STORED"},
		{"gets k", "VALUE k 7 6 5\n_abcde\nEND"},
		{"cas k 0 0 1 4\nx", "EXISTS"},
		{"cas none 0 0 1 4\nx", "NOT_FOUND"},
		{"cas k 0 0 1 5\nx", "STORED"},
		{"set e 0 0 0\n", "STORED"},
		{"get e", "VALUE e 0 0\n\nEND"},
		{"incr k 1", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
		{"incr none 1", "NOT_FOUND"},
		{"set n 3 0 20\n18446744073709551615", "STORED"},
		{"incr n 2", "1"},
		{"decr n 2", "0"},
		{"incr n x", "CLIENT_ERROR invalid numeric delta argument"},
		{"incr n -1", "CLIENT_ERROR invalid numeric delta argument"},
		{"get n", "VALUE n 3 1\n0\nEND"},
		{"delete n", "DELETED"},
		{"delete n 0", "NOT_FOUND"},
		{"delete n 5", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"},
		{"touch n 5", "NOT_FOUND"},
		{"touch k x", "CLIENT_ERROR invalid exptime argument"},
		{"touch k 5", "TOUCHED"},
		{"set q 0 0 1 noreply\nx", ""},
		{"add q 0 0 1 noreply\ny", ""},
		{"append q 0 0 1 noreply\ny", ""},
		{"incr q 1 noreply", ""},
		{"get q", "VALUE q 0 2\nxy\nEND"},
		{"delete q noreply", ""},
		{"get q", "END"},
		{"verbosity 1", "OK"},
		{"verbosity 1 noreply", ""},
		{"verbosity", "ERROR"},
		{"verbosity x", "CLIENT_ERROR bad command line format"},
		{"version", "VERSION " + version},
		{"version noreply", "ERROR"},
		{"verbosity 1 2", "OK"},
		{"verbosity noreply", ""},
		{"set x 0 0 1 nothing\nx", "STORED"}, // one word more is none too many
		{"set x 0 0 1 noreply x\nx", "ERROR\nERROR"},
		{"cas x 0 0 1 1 nothing\nx", "EXISTS"},
		{"incr x 1 nothing", "CLIENT_ERROR cannot increment or decrement non-numeric value"},
		{"incr x noreply", ""},
		{"incr x 1 noreply noreply", "ERROR"},
		{"touch x 0 nothing", "TOUCHED"},
		{"delete x 0 0", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"},
		{"delete x 5 noreply", ""},
		{"delete x noreply noreply", ""},
		{"delete noreply", "NOT_FOUND"},
		{"delete x 0 noreply", ""},
		{"get x", "END"},
		{"", "ERROR"},
		{"get", "ERROR"},
		{"GET k", "ERROR"},
		{"set k 0 0", "ERROR"},
		{"set k x 0 1", "CLIENT_ERROR bad command line format"},
		{"set k 0 0 -1", "CLIENT_ERROR bad command line format"},
		{"set k 4294967296 0 1", "CLIENT_ERROR bad command line format"},
		{"flush_all x", "CLIENT_ERROR invalid exptime argument"},
		{"flush_all noreply 0", "CLIENT_ERROR invalid exptime argument"},
		{"flush_all 0 0 0", "ERROR"},
		{"flush_all 0 0", "OK"},
		{"flush_all 0 noreply", ""},
		{"flush_all noreply", ""},
		{"get k l e", "END"},
	} {
		ask(t, c, one[0], one[1])
	}
	ask(t, c, "get "+strings.Repeat("k", longestKey+1), "CLIENT_ERROR bad command line format")
	ask(t, c, "set "+strings.Repeat("k", longestKey+1)+" 0 0 3\nget", "CLIENT_ERROR bad command line format")
	ask(t, c, "set "+strings.Repeat("k", longestKey)+" 0 0 3\nget", "STORED")
	c.Send("stats\r\n")
	if got := c.Take(); !strings.Contains(got, "STAT cmd_get 14\r\n") ||
		!strings.HasSuffix(got, "STAT evictions 0\r\nEND\r\n") {
		t.Errorf("found %q", got)
	}
}

func TestExpiry(t *testing.T) {
	clock := &exampletest.Clock{At: dawn}
	_, c := open(t, fresh(clock), "")
	pass := func(seconds int) { clock.At = clock.At.Add(time.Duration(seconds) * time.Second) }
	ask(t, c, "set a 0 10 1\nx", "STORED")
	ask(t, c, fmt.Sprintf("set b 0 %d 1\nx", 1_000_000_010), "STORED")
	ask(t, c, "set c 0 -1 1\nx", "STORED")
	ask(t, c, "set d 0 0 1\nx", "STORED")
	ask(t, c, "set e 0 10 1\nx", "STORED")
	pass(9)
	ask(t, c, "get a b c d", "VALUE a 0 1\nx\nVALUE b 0 1\nx\nVALUE d 0 1\nx\nEND")
	ask(t, c, "touch e 10", "TOUCHED")
	pass(1)
	ask(t, c, "get a b d e", "VALUE d 0 1\nx\nVALUE e 0 1\nx\nEND")
	ask(t, c, "flush_all 5", "OK")
	pass(4)
	ask(t, c, "set f 0 0 1\nx", "STORED")
	ask(t, c, "get d f", "VALUE d 0 1\nx\nVALUE f 0 1\nx\nEND")
	c.Send("set g 0 0 1\r\n")
	pass(1)
	c.Send("x\r\n") // comes after the flush
	c.Take()
	ask(t, c, "get d f g", "VALUE g 0 1\nx\nEND")
}

func TestFraming(t *testing.T) {
	for _, one := range []struct {
		name, input, want string
		closes            bool
	}{
		{"pipelined", "set k 0 0 4\r\n\r\n\r\n\r\nget k\nget", "STORED\r\nVALUE k 0 4\r\n\r\n\r\n\r\nEND\r\n", false},
		{"value too long", "set k 0 0 3\r\nabcdef\r\nversion\r\n",
			"CLIENT_ERROR bad data chunk\r\nERROR\r\nVERSION " + version + "\r\n", false},
		{"too large", "set k 0 0 1048577\r\nxx", "SERVER_ERROR object too large for cache\r\n", false},
		{"spaces", "  set   k 0 0 1 \r\nx\r\n", "STORED\r\n", false},
		{"quit", "quit\r\nversion\r\n", "", true},
		{"long line", "get " + strings.Repeat("x", longestLine), "CLIENT_ERROR line too long\r\n", true},
	} {
		t.Run(one.name, func(t *testing.T) {
			next := func() wirehost.Factory { return fresh(&exampletest.Clock{At: dawn}) }
			for _, r := range []sdktest.Result{
				sdktest.ChunkLaw(t, start(""), []byte(one.input)),
				sdktest.ReloadLaw(t, start(""), next, []byte(one.input)),
			} {
				if r.Output != one.want || r.Disconnecting != one.closes {
					t.Errorf("found %s\nwanted %q, closes %t", r, one.want, one.closes)
				}
			}
		})
	}
}
