package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

var peer = netip.MustParseAddrPort("192.0.2.7:123")

// question is a client's, of a version, with a time of its own.
func question(version byte) string {
	return string([]byte{version<<3 | client, 0, 6}) + strings.Repeat("\x00", 37) + "12345678"
}

func TestAnswer(t *testing.T) {
	s, err := sdktest.Start(&factory{}, sdktest.Options{Config: `{"stratum": 3, "reference": "GPS"}`})
	if err != nil {
		t.Fatal(err)
	}
	socket := s.Bind("udp://127.0.0.1:123")
	s.Advance(500 * time.Millisecond)
	socket.Receive(peer, question(3), question(4)+strings.Repeat("k", 20))
	sent := socket.Take()
	if len(sent) != 2 || socket.Sends != 1 {
		t.Fatalf("found %d answers in %d calls, wanted 2 in 1", len(sent), socket.Sends)
	}
	a := sent[0].Data
	if sent[0].To != peer || a[0] != 3<<3|server || a[1] != 3 || string(a[12:16]) != "GPS\x00" {
		t.Errorf("to %v: %q", sent[0].To, a)
	}
	const wanted = uint64(1767225600+2208988800)<<32 | 1<<31 // 2026, and half a second
	if got := binary.BigEndian.Uint64(a[40:]); got != wanted || string(a[24:32]) != "12345678" {
		t.Errorf("found time %x, origin %q, wanted %x", got, a[24:32], wanted)
	}
	if sent[1].Data[0]>>3 != 4 {
		t.Errorf("the second answer is of version %d", sent[1].Data[0]>>3)
	}
}

// What is no question of a client's gets no answer.
func TestNoAnswer(t *testing.T) {
	s, err := sdktest.Start(&factory{}, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	socket := s.Bind("udp://127.0.0.1:123")
	symmetric, servers := []byte(question(4)), []byte(question(4))
	symmetric[0], servers[0] = 4<<3|1, 4<<3|server
	socket.Receive(peer, "", question(4)[:47], question(0), question(5), string(symmetric), string(servers))
	if n := len(socket.Sent); n > 0 {
		t.Errorf("found %d answers", n)
	}
	if s.Accept() != nil {
		t.Error("a connection was accepted")
	}
}

func TestConfig(t *testing.T) {
	exampletest.ConfigRefused(t, func() wirehost.Factory { return &factory{} }, map[string]string{
		`{"stratum": 0}`:         "wanted 1 to 15",
		`{"stratum": 16}`:        "wanted 1 to 15",
		`{"reference": "CLOCK"}`: "four letters",
		`{"port": 1}`:            "port",
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(question(4)))
	f.Fuzz(func(t *testing.T, q []byte) {
		a, ok := answer(q, settings{Stratum: 1}, time.Unix(0, 0))
		if ok && (a[0]&7 != server || !bytes.Equal(a[24:32], q[40:48])) {
			t.Errorf("found %q", a)
		}
	})
}
