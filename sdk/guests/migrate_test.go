package sdk_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// tour goes from each of n places to each other one, once: n*(n-1) steps.
func tour(n int) []int {
	path := []int{0}
	var walk func(at int)
	left := map[[2]int]bool{}
	for a := range n {
		for b := range n {
			left[[2]int{a, b}] = a != b
		}
	}
	var circuit []int
	walk = func(at int) { // Hierholzer's
		for to := range n {
			if left[[2]int{at, to}] {
				left[[2]int{at, to}] = false
				walk(to)
			}
		}
		circuit = append(circuit, at)
	}
	walk(0)
	for i := len(circuit) - 2; i >= 0; i-- {
		path = append(path, circuit[i])
	}
	return path
}

// use reloads the plugin with another module, and wants all connections moved.
func (s *server) use(t testing.TB, module string, connections int) {
	t.Helper()
	p := s.cfg.Plugins["guest"]
	p.Module = module
	s.cfg.Plugins["guest"] = p
	change, err := s.Reload(context.Background(), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if out := change.Plugins[0]; out.Unchanged || out.Migrated != connections || len(out.Kept) > 0 || out.Dropped > 0 {
		t.Fatalf("%s: %+v", module, out)
	}
}

// again reloads the plugin with its own module, and wants all connections moved.
func (s *server) again(t testing.TB, connections int) {
	t.Helper()
	out, err := s.ReloadPlugin(t.Context(), "guest", true)
	if err != nil {
		t.Fatal(err)
	}
	if out.Migrated != connections || len(out.Kept) > 0 {
		t.Fatalf("%+v", out)
	}
}

func say(t testing.TB, c net.Conn, text, want string) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("said %q: found %q, %v, wanted %q", text, b[:n], err, want)
	}
}

// A running plugin goes from each language to each other one. Its connections
// stay, the count goes on, and so does a delimiter of which half has come.
func TestMigrateCounter(t *testing.T) {
	list := available(t, counter)
	if len(list) < 2 {
		t.Skip("fewer than two languages")
	}
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, config.Plugin{Module: build(t, list[0], counter), Isolation: isolation})
			a, b := dial(t, s.addr), dial(t, s.addr)
			say(t, b, "\r\n\r\n", "1\r\n2\r\n")
			var at int
			defer func() {
				if t.Failed() {
					count(columnMoves, list[at], false)
				}
			}()
			for n, to := range tour(len(list)) {
				from := at
				at = to
				if n > 0 {
					s.use(t, build(t, list[at], counter), 2)
					say(t, a, "\nx", fmt.Sprintf("%d\r\n", 2*n))
				}
				say(t, a, "\r\nhalf\r", fmt.Sprintf("%d\r\n", 2*n+1))
				say(t, b, "\r\n", fmt.Sprintf("%d\r\n", n+3))
				if n > 0 {
					t.Logf("%s", list[at].name)
					count(columnMoves, list[from], true)
					count(columnMoves, list[at], true)
				}
			}
		})
	}
}
