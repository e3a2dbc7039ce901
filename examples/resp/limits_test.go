package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/bounded"
	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func TestMemory(t *testing.T) {
	clock := &exampletest.Clock{At: time.Unix(1e9, 0)}
	f := fresh(clock)
	s, err := sdktest.Start(f, sdktest.Options{Config: `{"max_memory": 1000}`})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	x := strings.Repeat("x", 500-bounded.Overhead-1)
	oom := strings.TrimSpace(errMemory)
	ask(t, c, "+OK", "SET", "a", x)
	ask(t, c, "+OK", "SET", "b", x, "EX", "5")
	for _, more := range [][]string{{"SET", "c", ""}, {"INCR", "c"}, {"MSET", "c", "", "d", ""},
		{"SET", "a", x + "x"}} {
		ask(t, c, oom, more...)
	}
	ask(t, c, "+OK", "SET", "a", x) // in its own place
	clock.At = clock.At.Add(5 * time.Second)
	ask(t, c, ":1", "INCR", "c") // in the place of b, which has expired
	ask(t, c, ":2", "DEL", "a", "c")
	if f.db.Bytes() != 0 || f.db.Len() != 0 {
		t.Errorf("found %d bytes in %d entries, wanted none", f.db.Bytes(), f.db.Len())
	}
}

// What is announced is reserved, and given back whatever ends the request.
func TestPending(t *testing.T) {
	f := fresh(&exampletest.Clock{})
	s, err := sdktest.Start(f, sdktest.Options{Config: `{"max_pending": 5000}`})
	if err != nil {
		t.Fatal(err)
	}
	first, second := s.Accept(), s.Accept()
	first.Send("*2\r\n$4\r\nECHO\r\n$3000\r\nxx")
	second.Send("*2\r\n$4\r\nECHO\r\n$3000\r\n")
	if got := second.Take(); got != "-OOM too much is being received at a time\r\n" || !second.Disconnecting() {
		t.Fatalf("found %q, closing %t", got, second.Disconnecting())
	}
	third := s.Accept()
	ask(t, third, "+PONG", "PING")
	first.Break(wirehost.Lost)
	ask(t, third, "$3000\r\n"+strings.Repeat("y", 3000), "ECHO", strings.Repeat("y", 3000))
	if f.pending != 0 {
		t.Errorf("%d bytes stay reserved", f.pending)
	}
}

func TestLargeAnswers(t *testing.T) {
	_, c := open(t, "")
	mega := strings.Repeat("x", longestBulk)
	ask(t, c, "+OK", "SET", "k", mega)
	nine := []string{"MGET", "k", "k", "k", "k", "k", "k", "k", "k", "k"}
	ask(t, c, fmt.Sprintf("-ERR found an answer of %d bytes, wanted at most %d", 9*longestBulk, longestAnswer), nine...)
	c.Stall()
	c.Send(strings.Repeat(request("GET", "k"), 100))
	if got := c.Queued(); got > 3*longestBulk {
		t.Fatalf("%d bytes are queued", got)
	}
	for c.Queued() > 0 {
		c.Drain()
	}
	if got, want := len(c.Take()), 100*(longestBulk+len("$1048576\r\n\r\n")); got != want {
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
	s, c := open(t, "")
	other := s.Accept()
	ask(t, c, "+OK", "MSET", "a", "1", "", "empty key")
	ask(t, c, "+OK", "SET", "b", "2", "EX", "100")
	other.Send("*2\r\n$3\r\nGET\r\n$1")
	next := fresh(&exampletest.Clock{At: time.Unix(1e9+10, 0)})
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	other.Send("\r\na\r\n")
	if got := other.Take(); got != "$1\r\n1\r\n" {
		t.Errorf("found %q", got)
	}
	ask(t, c, "*2\r\n$9\r\nempty key\r\n$1\r\n2", "MGET", "", "b")
	ask(t, c, ":90", "TTL", "b")
	if next.pending != 0 {
		t.Errorf("%d bytes stay reserved", next.pending)
	}
}

func TestRestoreRefused(t *testing.T) {
	exampletest.RestoreRefused(t, "data's version", newFactory(), 2, "", "found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "data cut short", newFactory(), 1, "\x00\x03ab", "cut short")
	exampletest.RestoreRefused(t, "value cut short", newFactory(), 1, "\x00\x01a\x05b", "cut short")
	exampletest.RestoreRefused(t, "connection's version", &conn{factory: newFactory()}, 2, "",
		"found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "no numbers", &conn{factory: newFactory()}, 1, "\x00\x00", "cut short")
	exampletest.RestoreRefused(t, "bulk, not raw", &conn{factory: newFactory()}, 1, "\x00\x00\x01\x05\x00\x00",
		"do not go together")
	exampletest.RestoreRefused(t, "too many", &conn{factory: newFactory()}, 1, "\x00\x00\x81\x08\x00\x00\x00",
		"found the number 1025")
	exampletest.RestoreRefused(t, "ends go back", &conn{factory: newFactory()}, 1,
		"\x00\x00\x01\x00\x02\x05\x03\x05abcde", "end at 3 behind 5")
	exampletest.RestoreRefused(t, "ends too far", &conn{factory: newFactory()}, 1, "\x00\x00\x01\x00\x01\x05\x02ab",
		"end at 5")
}

// FuzzRequests sends anything, cut anywhere.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(request("SET", "k", "v")+request("GET", "k")+"PING\r\n*1\r\n$-"), uint16(9))
	f.Add([]byte(request("MSET", "a", "1")+request("INCR", "a")+request("EXPIRE", "a", "1")+request("TTL", "a")+
		request("QUIT")), uint16(20))
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		exampletest.Cut(t, start(`{"max_memory": 2000, "max_pending": 4000}`), input, int(cut))
	})
}
