package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/examples/internal/bounded"
	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

const oom = "SERVER_ERROR out of memory storing object"

func TestMemory(t *testing.T) {
	f := fresh(&exampletest.Clock{At: dawn})
	_, c := open(t, f, `{"max_memory": 1000}`)
	x := strings.Repeat("x", 500-bounded.Overhead-1)
	set := func(key, value, want string) {
		t.Helper()
		ask(t, c, fmt.Sprintf("set %s 0 0 %d\n%s", key, len(value), value), want)
	}
	set("a", x, "STORED")
	set("b", x, "STORED")
	set("c", "", oom)
	set("a", x, "STORED") // in its own place
	ask(t, c, "append a 0 0 1\nx", oom)
	ask(t, c, "get c", "END")
	set("b", x+"x", oom)
	ask(t, c, "get b", "END") // what was there is no longer true
	ask(t, c, "delete a", "DELETED")
	if f.items.Bytes() != 0 || f.items.Len() != 0 {
		t.Errorf("found %d bytes in %d items, wanted none", f.items.Bytes(), f.items.Len())
	}
}

// A value that can't be taken is read and dropped, and the next command is
// understood.
func TestSkipped(t *testing.T) {
	_, c := open(t, fresh(&exampletest.Clock{At: dawn}), `{"max_pending": 1000}`)
	ask(t, c, "set k 0 0 1\nx", "STORED")
	ask(t, c, "set k 0 0 2000\n"+strings.Repeat("y", 2000), oom)
	ask(t, c, "get k", "END")
	large := strings.Repeat("y", longestValue+1)
	ask(t, c, fmt.Sprintf("add k 0 0 %d\n%s", len(large), large), "SERVER_ERROR object too large for cache")
	ask(t, c, fmt.Sprintf("set k 0 0 %d noreply\n%s", len(large), large), "")
	ask(t, c, "version", "VERSION "+version)
}

// What is announced is reserved, and given back whatever ends the request.
func TestPending(t *testing.T) {
	f := fresh(&exampletest.Clock{At: dawn})
	s, first := open(t, f, `{"max_pending": 5000}`)
	first.Send("set k 0 0 3000\r\nxx")
	second := s.Accept()
	y := strings.Repeat("y", 3000)
	ask(t, second, "set k 0 0 3000\n"+y, oom)
	first.Break(wirehost.Lost)
	ask(t, second, "set k 0 0 3000\n"+y, "STORED")
	if f.pending != 0 {
		t.Errorf("%d bytes stay reserved", f.pending)
	}
}

func TestLargeAnswers(t *testing.T) {
	_, c := open(t, fresh(&exampletest.Clock{At: dawn}), "")
	mega := strings.Repeat("x", longestValue)
	ask(t, c, fmt.Sprintf("set k 0 0 %d\n%s", len(mega), mega), "STORED")
	ask(t, c, "append k 0 0 1\nx", "SERVER_ERROR object too large for cache")
	ask(t, c, "get"+strings.Repeat(" k", 9), "SERVER_ERROR out of memory writing get response")
	c.Stall()
	c.Send(strings.Repeat("get k\r\n", 100))
	if got := c.Queued(); got > 3*longestValue {
		t.Fatalf("%d bytes are queued", got)
	}
	for c.Queued() > 0 {
		c.Drain()
	}
	if got, want := len(c.Take()), 100*(longestValue+len("VALUE k 0 1048576\r\n\r\nEND\r\n")); got != want {
		t.Errorf("found %d bytes, wanted %d", got, want)
	}
}

func TestConfigRefused(t *testing.T) {
	factory := func() wirehost.Factory { return newFactory() }
	exampletest.ConfigRefused(t, factory, map[string]string{
		`{"max_memory": 0}`:   "found max_memory 0",
		`{"max_pending": -1}`: "max_pending -1",
		`{"maxmemory": 1}`:    "unknown field",
	})
}

func TestStateMoves(t *testing.T) {
	clock := &exampletest.Clock{At: dawn}
	s, c := open(t, fresh(clock), "")
	ask(t, c, "set a 7 100 3\nabc", "STORED")
	ask(t, c, "set b 0 0 1\nx", "STORED")
	c.Send("cas a 8 0 4 1\r\nde")
	next := fresh(clock)
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	c.Send("fg\r\n")
	ask(t, c, "gets a b", "STORED\nVALUE a 8 4 3\ndefg\nVALUE b 0 1 2\nx\nEND")
	if next.pending != 0 || next.stats.Connections != 1 || next.stats.Set != 3 {
		t.Errorf("found %d reserved, %+v", next.pending, next.stats)
	}
}

func TestRestoreRefused(t *testing.T) {
	exampletest.RestoreRefused(t, "data's version", newFactory(), 2, "", "found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "data cut short", newFactory(), 1, "\x02{}\x00\x00\x00\x03ab", "cut short")
	exampletest.RestoreRefused(t, "stats", newFactory(), 1, "\x02{x\x00\x00\x00", "stats")
	exampletest.RestoreRefused(t, "connection's version", &conn{factory: newFactory()}, 2, "",
		"found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "no command", &conn{factory: newFactory()}, 1, "\x00\x00", "cut short")
	exampletest.RestoreRefused(t, "no numbers", &conn{factory: newFactory()}, 1, "\x00\x00\x00\x00\x00\x05",
		"cut short")
	exampletest.RestoreRefused(t, "bulk, not raw", &conn{factory: newFactory()}, 1,
		"\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00", "do not go together")
	exampletest.RestoreRefused(t, "no such command", &conn{factory: newFactory()}, 1,
		"\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00", "do not go together")
	exampletest.RestoreRefused(t, "too large", &conn{factory: newFactory()}, 1,
		"\x02\x00\x00\x00\x00\x80\x80\x80\x01\x00\x00\x00\x00\x00", "do not go together")
}

// FuzzRequests sends anything, cut anywhere.
func FuzzRequests(f *testing.F) {
	f.Add([]byte("set k 1 2 3\r\nabc\r\ngets k\r\ncas k 0 0 1 1\r\nx\r\nincr k 1\r\nstats\r\n"), uint16(20))
	f.Add([]byte("set k 0 0 99999\r\nabc\r\ntouch k 0 noreply\nflush_all 5\nquit"), uint16(20))
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		exampletest.Cut(t, start(`{"max_memory": 2000, "max_pending": 4000}`), input, int(cut))
	})
}
