package main

import (
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start() (*sdktest.Server, error) { return sdktest.Start(factory{}, sdktest.Options{}) }

func TestEcho(t *testing.T) {
	for _, input := range []string{"", "x", "two\r\nlines\r\n", "\x00\xff\x80", string(make([]byte, 5000))} {
		if r := sdktest.ChunkLaw(t, start, []byte(input)); r.Output != input || r.Disconnecting {
			t.Errorf("%.20q: found %s", input, r)
		}
	}
}

func TestEchoLargeChunks(t *testing.T) {
	input := make([]byte, 1<<20)
	for i := range input {
		input[i] = byte(i * i >> 8)
	}
	if r := sdktest.Feed(t, start, input); r.Output != string(input) {
		t.Errorf("found %d bytes, or other ones; wanted %d", len(r.Output), len(input))
	}
}

func TestEchoSurvivesReload(t *testing.T) {
	next := func() wirehost.Factory { return factory{} }
	if r := sdktest.ReloadLaw(t, start, next, []byte("before and after")); r.Output != "before and after" {
		t.Errorf("found %s", r)
	}
}

// The answer to what the peer sent with its FIN is not lost.
func TestEchoHalfClose(t *testing.T) {
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send("last words")
	c.Finish()
	if reason, ended := c.Ended(); c.Output() != "last words" || !ended || reason != wirehost.Done {
		t.Errorf("found %q, ended %t, %v", c.Output(), ended, reason)
	}
}
