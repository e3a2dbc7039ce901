package wirehost_test

import (
	"bytes"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// What Random gives follows from the seed of the server, and goes on from call to call.
func TestRandom(t *testing.T) {
	draw := func(seed byte) (drawn []byte) {
		drawn = make([]byte, 150000) // more than the server gives at once
		_, err := sdktest.Start(measuring{start: func(r *wirehost.Reactor) error { return r.Random(drawn) }},
			sdktest.Options{Seed: [32]byte{seed}})
		if err != nil {
			t.Fatal(err)
		}
		return drawn
	}
	one := draw(1)
	if !bytes.Equal(one, draw(1)) || bytes.Equal(one, draw(2)) {
		t.Error("not by the seed")
	}
	if last := one[len(one)-16:]; bytes.Count(one, last) != 1 || bytes.Equal(last, make([]byte, 16)) {
		t.Errorf("found %x, and once more", last)
	}
}

// Time is the test's, and turned with it.
func TestTime(t *testing.T) {
	var reactor *wirehost.Reactor
	s, err := sdktest.Start(measuring{start: func(r *wirehost.Reactor) error { reactor = r; return nil }},
		sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Advance(36*time.Hour + 250*time.Millisecond)
	if want := time.Date(2026, 1, 2, 12, 0, 0, 250e6, time.UTC); reactor.Time() != want {
		t.Errorf("found %v, wanted %v", reactor.Time(), want)
	}
}
