package main

import (
	"testing"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start() (*sdktest.Server, error) { return sdktest.Start(factory{}, sdktest.Options{}) }

func TestCount(t *testing.T) {
	const want = "line 1, 1 bytes\nline 2, 1 bytes\nline 3, 4 bytes\n"
	next := func() wirehost.Factory { return factory{} }
	input := []byte("a\n\nccc\nhalf")
	for _, r := range []sdktest.Result{sdktest.ChunkLaw(t, start, input), sdktest.ReloadLaw(t, start, next, input)} {
		if r.Output != want {
			t.Errorf("found %s\nwanted %q", r, want)
		}
	}
}

func TestRestoreRefused(t *testing.T) {
	exampletest.RestoreRefused(t, "later version", new(counter), 3, "\x03\x05\x00\x00",
		"found state version 3, wanted 1 or 2")
	exampletest.RestoreRefused(t, "empty", new(counter), 2, "", "found no number")
	exampletest.RestoreRefused(t, "one number", new(counter), 2, "\x03", "found no number")
	exampletest.RestoreRefused(t, "no half line", new(counter), 2, "\x03\x05", "cut short")
}

// A connection of version 1 that had sent three lines and a half one goes on.
func TestFromVersion1(t *testing.T) {
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	p := new(counter)
	if err := p.RestoreState(linesOnly, []byte("\x03\x00\x02ha")); err != nil || p.lines != 3 || p.bytes != 0 {
		t.Fatalf("found %d lines, %d bytes, %v", p.lines, p.bytes, err)
	}
	state, _ := p.SaveState()
	if want := "\x03\x00\x00\x02ha"; string(state) != want {
		t.Errorf("found state %q, wanted %q", state, want)
	}
	c.Send("x\n")
	if got := c.Take(); got != "line 1, 1 bytes\n" {
		t.Errorf("another connection counts %q", got)
	}
}
