package main

import (
	"strings"
	"testing"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start(t *testing.T, o sdktest.Options) *sdktest.Server {
	t.Helper()
	s, err := sdktest.Start(&room{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enter opens a connection whose member has a name.
func enter(t *testing.T, s *sdktest.Server, name string) *sdktest.Conn {
	t.Helper()
	c := s.Accept()
	c.Send(name + "\n")
	if got := c.Take(); !strings.Contains(got, "* welcome, "+name) {
		t.Fatalf("found %q, wanted a welcome", got)
	}
	return c
}

func expect(t *testing.T, c *sdktest.Conn, want string) {
	t.Helper()
	if got := c.Take(); got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
}

func TestRoom(t *testing.T) {
	s := start(t, sdktest.Options{})
	ann, bob := enter(t, s, "ann"), enter(t, s, "bob")
	expect(t, ann, "* bob came in\n")
	ann.Send("hello\r\n\nbell\a \xff\n")
	expect(t, bob, "<ann> hello\n<ann> bell. .\n")
	expect(t, ann, "")
	bob.Send("/who\n")
	expect(t, bob, "* ann, bob\n")
	ann.Send("/quit\nnot said\n")
	expect(t, bob, "* ann left\n")
	if r, ended := ann.Ended(); !ended || r != wirehost.Done {
		t.Errorf("found %v, %t after /quit", r, ended)
	}
	cy := s.Accept()
	expect(t, cy, "* your name?\n")
	cy.Send("cy\n")
	expect(t, cy, "* ann came in\n* bob came in\n<ann> hello\n<ann> bell. .\n* ann left\n* welcome, cy; 2 here\n")
}

func TestNames(t *testing.T) {
	s := start(t, sdktest.Options{})
	enter(t, s, "ann")
	for name, want := range map[string]string{
		"":                      "found a name of 0 bytes",
		strings.Repeat("x", 21): "found a name of 21 bytes",
		"a b":                   "letters, digits",
		"é":                     "letters, digits",
		"ann":                   "ann is here already",
		"Ann":                   "welcome, Ann",
		strings.Repeat("x", 20): "welcome, xx",
	} {
		c := s.Accept()
		c.Send(name + "\n")
		if got := c.Take(); !strings.Contains(got, want) {
			t.Errorf("%q: found %q, wanted %q", name, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	s := start(t, sdktest.Options{})
	ann := enter(t, s, "ann")
	for range 3 * mostHistory {
		ann.Send(strings.Repeat("y", longestLine) + "\n")
	}
	c := s.Accept()
	c.Take()
	c.Send("bob\n")
	if got := strings.Count(c.Take(), "\n"); got != mostHistory+1 {
		t.Errorf("found %d lines of history and welcome, wanted %d", got, mostHistory+1)
	}
	ann.Send(strings.Repeat("y", longestLine+2))
	if !ann.Disconnecting() {
		t.Error("a line over the limit was taken")
	}
}

func TestWhoDoesNotRead(t *testing.T) {
	s := start(t, sdktest.Options{})
	ann, bob, cy := enter(t, s, "ann"), enter(t, s, "bob"), enter(t, s, "cy")
	bob.Stall()
	line := strings.Repeat("z", 500) + "\n"
	for range mostQueued / 400 {
		ann.Send(line)
	}
	if r, ended := bob.Ended(); !ended || r != wirehost.Aborted {
		t.Errorf("found %v, %t, wanted aborted", r, ended)
	}
	if _, ended := cy.Ended(); ended || !strings.HasSuffix(cy.Take(), "<ann> "+line) {
		t.Error("another member was hurt")
	}
}

func TestReload(t *testing.T) {
	s := start(t, sdktest.Options{})
	ann, bob, nobody := enter(t, s, "ann"), enter(t, s, "bob"), s.Accept()
	ann.Send("before\nhal")
	for _, c := range []*sdktest.Conn{ann, bob, nobody} {
		c.Take()
	}
	if err := s.Reload(&room{}); err != nil {
		t.Fatal(err)
	}
	ann.Send("f\n")
	expect(t, bob, "<ann> half\n")
	bob.Send("/who\n")
	expect(t, bob, "* ann, bob\n")
	nobody.Send("cy\n")
	expect(t, nobody, "* ann came in\n* bob came in\n<ann> before\n<ann> half\n* welcome, cy; 3 here\n")
	bob.Break(wirehost.Lost)
	expect(t, ann, "* cy came in\n* bob left\n")
}

func TestRestoreRefused(t *testing.T) {
	exampletest.RestoreRefused(t, "room's version", &room{}, 2, "[]", "found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "room's bytes", &room{}, 1, "{", "history")
	exampletest.RestoreRefused(t, "member's version", &member{room: &room{}}, 2, "\x00\x00",
		"found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "member's line", &member{room: &room{}}, 1, "\x00\x09", "cut short")
	exampletest.RestoreRefused(t, "member's name", &member{room: &room{}}, 1, "\x00\x00a b", "letters")
}

// FuzzMember sends anything, cut anywhere.
func FuzzMember(f *testing.F) {
	f.Add([]byte("ann\nhello\n/who\n/quit\n"), uint16(5))
	f.Add([]byte("\r\n\n"+strings.Repeat("a", 700)), uint16(600))
	f.Fuzz(func(t *testing.T, input []byte, cut uint16) {
		startRoom := func() (*sdktest.Server, error) { return sdktest.Start(&room{}, sdktest.Options{}) }
		exampletest.Cut(t, startRoom, input, int(cut))
	})
}
