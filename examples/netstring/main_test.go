package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start() (*sdktest.Server, error) { return sdktest.Start(factory{}, sdktest.Options{}) }

// netstring is s as one.
func netstring(s string) string { return fmt.Sprintf("%d:%s,", len(s), s) }

// digests are the answers to strings.
func digests(list ...string) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "64:%x,", sha256.Sum256([]byte(s)))
	}
	return b.String()
}

// Each input is cut everywhere, with a reload there and without.
func TestDigests(t *testing.T) {
	next := func() wirehost.Factory { return factory{} }
	for input, want := range map[string]sdktest.Result{
		"0:,":                       {Output: digests("")},
		"5:hello,5:a,b\x00c,1:x":    {Output: digests("hello", "a,b\x00c")},
		netstring("12:x,") + "1:a,": {Output: digests("12:x,", "a")},
		"1:a,x:b,":                  {Output: digests("a"), Disconnecting: true},
		"1:a,01:b,":                 {Output: digests("a"), Disconnecting: true},
		"1:a,1:bc":                  {Output: digests("a"), Disconnecting: true},
		"100000:":                   {Disconnecting: true},
		"GET / HTTP/1.0\r\n":        {Disconnecting: true},
	} {
		for _, r := range []sdktest.Result{sdktest.ChunkLaw(t, start, []byte(input)),
			sdktest.ReloadLaw(t, start, next, []byte(input))} {
			if r.Output != want.Output || r.Disconnecting != want.Disconnecting {
				t.Errorf("%q: found %s, wanted %s", input, r, want)
			}
		}
	}
}

func TestLongest(t *testing.T) {
	s := strings.Repeat("x", wirehost.MaxStringLength)
	r := sdktest.Feed(t, start, []byte(netstring(s)+netstring(s)))
	if r.Output != digests(s, s) {
		t.Errorf("found %s", r)
	}
}

// A peer that sends and does not read gets its answers as it reads on, over a
// reload too.
func TestStalled(t *testing.T) {
	const count = 60000
	s, err := sdktest.Start(factory{}, sdktest.Options{Stalled: true})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send(strings.Repeat("0:,", count))
	if q := c.Queued(); q > 256<<10 {
		t.Errorf("%d bytes are queued", q)
	}
	if err := s.Reload(factory{}); err != nil {
		t.Fatal(err)
	}
	for c.Queued() > 0 {
		c.Drain()
	}
	if found := c.Take(); found != strings.Repeat(digests(""), count) {
		t.Errorf("found %d bytes, wanted %d", len(found), answer*count)
	}
}

func TestRestoreRefused(t *testing.T) {
	p := &digest{}
	for _, state := range []string{"", "\x00\x05ab", "\x00\x00x"} {
		if err := p.RestoreState(stateVersion, []byte(state)); err == nil {
			t.Errorf("it takes %q", state)
		}
	}
	if err := p.RestoreState(2, []byte("\x00\x00")); err == nil {
		t.Error("it takes version 2")
	}
}

// FuzzNetstrings holds any input to the chunk law.
func FuzzNetstrings(f *testing.F) {
	f.Add([]byte("5:hello,0:,1:x,"))
	f.Add([]byte("12:,"))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 200 {
			return
		}
		sdktest.ChunkLaw(t, start, input)
	})
}
