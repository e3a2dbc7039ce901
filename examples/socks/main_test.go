package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// Requests for h, port 80, and the answers.
const (
	ask4  = "\x04\x01\x00\x50\x00\x00\x00\x01ann\x00h\x00"
	hello = "\x05\x02\x01\x00"
	ask5  = "\x05\x01\x00\x03\x01h\x00\x50"
	yes4  = "\x00\x5a\x9c\x40\x7f\x00\x00\x01"
	yes5  = "\x05\x00\x00\x01\x7f\x00\x00\x01\x9c\x40" // 127.0.0.1:40000, sdktest's
)

func start(t testing.TB, o sdktest.Options) *sdktest.Server {
	t.Helper()
	s, err := sdktest.Start(&factory{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func outgoing(t testing.TB, s *sdktest.Server) *sdktest.Conn {
	t.Helper()
	list := s.Outgoing()
	if len(list) != 1 {
		t.Fatalf("found %d outgoing connections, wanted 1", len(list))
	}
	return list[0]
}

func expect(t *testing.T, c *sdktest.Conn, want string) {
	t.Helper()
	if got := c.Take(); got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
}

func expectEnd(t *testing.T, c *sdktest.Conn, want wirehost.Reason) {
	t.Helper()
	if r, ended := c.Ended(); !ended || r != want {
		t.Errorf("found reason %v, ended %t, wanted %v", r, ended, want)
	}
}

// TestConnect cuts what a client sends at every offset, with a reload there or
// without, and data behind the request.
func TestConnect(t *testing.T) {
	for _, c := range []struct{ ask, before, yes string }{
		{ask4, "", yes4},
		{hello + ask5, "\x05\x00", yes5},
	} {
		input := c.ask + "GET /"
		for i := range input {
			for _, reload := range []bool{false, true} {
				s := start(t, sdktest.Options{})
				again := func() {
					if reload {
						if err := s.Reload(&factory{}); err != nil {
							t.Fatal(err)
						}
					}
				}
				in := s.Accept()
				in.Send(input[:i])
				again()
				in.Send(input[i:])
				out := outgoing(t, s)
				if out.Endpoint != "tcp://h:80" || s.Timers() > 0 {
					t.Errorf("found endpoint %s, %d timers", out.Endpoint, s.Timers())
				}
				expect(t, in, c.before)
				again()
				out.Establish()
				expect(t, in, c.yes)
				expect(t, out, "GET /")
				again()
				in.Send("more")
				expect(t, out, "more")
				in.Finish()
				out.Send("200")
				expect(t, in, "200")
				out.Finish()
				expectEnd(t, in, wirehost.Done)
				expectEnd(t, out, wirehost.Done)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	const zeros = "\x00\x01\x00\x00\x00\x00\x00\x00"
	for input, want := range map[string]string{
		"GET / HTTP/1.0\r\n":                      "",
		"\x05\x01\x02":                            "\x05\xff", // a password alone
		"\x05\x00":                                "\x05\xff",
		hello + "\x05\x04" + ask5[2:]:             "\x05\x00\x05\x07" + zeros,
		hello + "\x05\x01\x00\x03\x03a/b\x00\x50": "\x05\x00\x05\x01" + zeros,
		hello + "\x05\x01\x00\x09\x00":            "\x05\x00\x05\x08" + zeros,
		hello + ask4:                              "\x05\x00\x05\x01" + zeros,
		"\x04\x03" + ask4[2:]:                     "\x00\x5b\x00\x00\x00\x00\x00\x00",
		"\x04\x01\x00\x00\x01\x02\x03\x04\x00":    "\x00\x5b\x00\x00\x00\x00\x00\x00",
	} {
		r := sdktest.ChunkLaw(t, func() (*sdktest.Server, error) {
			return sdktest.Start(&factory{}, sdktest.Options{})
		}, []byte(input))
		if r.Output != want || !r.Ended || r.Reason != wirehost.Done {
			t.Errorf("%q: found %s, wanted %q and the end", input, r, want)
		}
	}
}

// TestFails answers why a connection could not be made.
func TestFails(t *testing.T) {
	for reason, code := range map[wirehost.Reason]string{
		wirehost.Refused:    "\x05",
		wirehost.NotAllowed: "\x02",
		wirehost.NoSuchHost: "\x04",
		wirehost.Timeout:    "\x04",
		wirehost.Lost:       "\x01",
	} {
		for _, reload := range []bool{false, true} {
			s := start(t, sdktest.Options{})
			in := s.Accept()
			in.Send(hello + ask5)
			expect(t, in, "\x05\x00")
			if reload {
				if err := s.Reload(&factory{}); err != nil {
					t.Fatal(err)
				}
			}
			outgoing(t, s).Fail(reason)
			expect(t, in, "\x05"+code+"\x00\x01\x00\x00\x00\x00\x00\x00")
			expectEnd(t, in, wirehost.Done)
		}
	}
}

func TestNotAllowed(t *testing.T) {
	s := start(t, sdktest.Options{Deny: true})
	in := s.Accept()
	in.Send(ask4)
	expect(t, in, "\x00\x5b\x00\x00\x00\x00\x00\x00")
	expectEnd(t, in, wirehost.Done)
}

// TestTooLate: a client that does not ask in time goes, however often it sends,
// and after a reload too.
func TestTooLate(t *testing.T) {
	for _, reload := range []bool{false, true} {
		s := start(t, sdktest.Options{Config: `{"timeout": 10}`})
		in := s.Accept()
		in.Send(hello[:3])
		s.Advance(6 * time.Second)
		in.Send(hello[3:] + ask5[:4])
		if reload {
			if err := s.Reload(&factory{}); err != nil {
				t.Fatal(err)
			}
		}
		s.Advance(3999 * time.Millisecond)
		if _, ended := in.Ended(); ended {
			t.Error("it ended before its time")
		}
		s.Advance(time.Millisecond)
		expectEnd(t, in, wirehost.Aborted)
		if len(s.Lines) > 0 {
			t.Errorf("logged %v", s.Lines)
		}
	}
}

// A client that goes at any stage leaves nothing behind.
func TestClientGoes(t *testing.T) {
	for _, input := range []string{"", hello, hello + ask5} {
		s := start(t, sdktest.Options{})
		in := s.Accept()
		in.Send(input)
		in.Break(wirehost.Lost)
		if s.Timers() > 0 || len(s.Outgoing()) > 0 || len(s.Lines) > 0 {
			t.Errorf("%q: found %d timers, %d connections, logged %v", input, s.Timers(), len(s.Outgoing()), s.Lines)
		}
	}
	in := start(t, sdktest.Options{}).Accept()
	in.Send(hello)
	in.Finish()
	expectEnd(t, in, wirehost.Done)
}

func TestConfigRefused(t *testing.T) {
	for _, config := range []string{`{"timeout": 0}`, `{"timeout": 3601}`} {
		if _, err := sdktest.Start(&factory{}, sdktest.Options{Config: config}); err == nil ||
			!strings.Contains(err.Error(), "config.timeout: found") {
			t.Errorf("%s: found error %v", config, err)
		}
	}
}

// FuzzRestore restores connections from what need not be a state.
func FuzzRestore(f *testing.F) {
	f.Add([]byte("\x00\x01\x05\x01\x00\x00\x02ab"))
	f.Add([]byte("\x02\x02\x05\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x03\x04\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x04\x05\x01\x01\x04\x01\x02\x03\x04\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, state []byte) {
		s, err := sdktest.Start(&exampletest.Saved{State: state, Version: stateVersion}, sdktest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, b := s.Accept(), s.Accept()
		if err := s.Reload(&factory{}); err == nil {
			a.Send(hello + ask5)
			for _, c := range s.Outgoing() {
				c.Establish()
			}
			a.Finish()
			b.Finish()
		}
	})
}

// A client may send all it has and its end at once; it is not read before the
// target answers.
func TestEndBeforeTarget(t *testing.T) {
	s := start(t, sdktest.Options{})
	in := s.Accept()
	in.Send(ask4)
	in.Send("GET /")
	in.Finish()
	if in.State()&wirehost.StatePaused == 0 {
		t.Error("it is read while the target is being connected to")
	}
	out := outgoing(t, s)
	out.Establish()
	expect(t, out, "GET /")
	out.Send("200")
	out.Finish()
	expect(t, in, yes4+"200")
	expectEnd(t, in, wirehost.Done)
}

func TestRestoreRefused(t *testing.T) {
	for state, want := range map[string]string{
		"":                               "found no handle",
		"\x00\x05\x05\x00\x00\x00\x00":   "found the number 5",
		"\x00\x00\x06\x00\x00\x00\x00":   "found the number 6",
		"\x00\x00\x05\x00\x00\x00\x02a":  "cut short",
		"\x00\x00\x05\x00\x00\x00\x01ab": "found more behind the end",
	} {
		s, err := sdktest.Start(&exampletest.Saved{State: []byte(state), Version: stateVersion}, sdktest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.Accept()
		if err := s.Reload(&factory{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: found error %v, wanted %q", state, err, want)
		}
	}
}
