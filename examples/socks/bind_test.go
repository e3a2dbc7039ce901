package main

import (
	"net/netip"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// sdktest's connections come from 127.0.0.1:50000, and its free port is 40001.
const (
	bind4   = "\x04\x02\x00\x50\x7f\x00\x00\x01ann\x00"
	bind5   = "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50"
	bound4  = "\x00\x5a\x9c\x41\x7f\x00\x00\x01"
	bound5  = "\x05\x00\x00\x01\x7f\x00\x00\x01\x9c\x41"
	came4   = "\x00\x5a\xc3\x50\x7f\x00\x00\x01"
	came5   = "\x05\x00\x00\x01\x7f\x00\x00\x01\xc3\x50"
	nobody5 = "\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00"
)

// TestBind has a client's peer come, with a reload before or without.
func TestBind(t *testing.T) {
	for _, c := range []struct{ ask, before, bound, came string }{
		{bind4, "", bound4, came4},
		{hello + bind5, "\x05\x00", bound5, came5},
	} {
		for _, reload := range []bool{false, true} {
			s := start(t, sdktest.Options{})
			in := s.Accept()
			in.Send(c.ask)
			expect(t, in, c.before+c.bound)
			if reload {
				if err := s.Reload(&factory{}); err != nil {
					t.Fatal(err)
				}
			}
			out := s.Ports()[0].Accept()
			expect(t, in, c.came)
			if len(s.Ports()) > 0 || s.Timers() > 0 {
				t.Errorf("found %d listeners, %d timers", len(s.Ports()), s.Timers())
			}
			if reload {
				if err := s.Reload(&factory{}); err != nil {
					t.Fatal(err)
				}
			}
			in.Send("one")
			expect(t, out, "one")
			out.Send("two")
			expect(t, in, "two")
			out.Finish()
			in.Finish()
			expectEnd(t, in, wirehost.Done)
			expectEnd(t, out, wirehost.Done)
		}
	}
}

func TestBindFails(t *testing.T) {
	t.Run("somebody else", func(t *testing.T) {
		s := start(t, sdktest.Options{})
		in := s.Accept()
		in.Send(hello + "\x05\x02\x00\x01\x0a\x00\x00\x01\x00\x50")
		if s.Ports()[0].Accept() != nil {
			t.Error("it is let in")
		}
	})
	t.Run("nobody", func(t *testing.T) {
		s := start(t, sdktest.Options{Config: `{"timeout": 10}`})
		in := s.Accept()
		in.Send(hello + bind5)
		in.Take()
		s.Advance(10 * time.Second)
		expect(t, in, nobody5)
		expectEnd(t, in, wirehost.Done)
		if len(s.Ports()) > 0 {
			t.Error("it still listens")
		}
	})
	t.Run("the client goes", func(t *testing.T) {
		s := start(t, sdktest.Options{})
		in := s.Accept()
		in.Send(hello + bind5)
		in.Break(wirehost.Lost)
		if len(s.Ports()) > 0 || s.Timers() > 0 {
			t.Errorf("found %d listeners, %d timers", len(s.Ports()), s.Timers())
		}
	})
	t.Run("not allowed", func(t *testing.T) {
		s := start(t, sdktest.Options{Deny: true})
		in := s.Accept()
		in.Send(bind4)
		expect(t, in, "\x00\x5b\x00\x00\x00\x00\x00\x00")
		expectEnd(t, in, wirehost.Done)
	})
}

func TestAssociate(t *testing.T) {
	const ask = "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"
	const header = "\x00\x00\x00\x01\xc0\x00\x02\x07\x00\x35" // for, and from, 192.0.2.7:53
	s := start(t, sdktest.Options{})
	in := s.Accept()
	in.Send(hello + ask)
	expect(t, in, "\x05\x00")
	socket := s.Opened()[0]
	if socket.Endpoint != "udp://127.0.0.1:0" {
		t.Errorf("found endpoint %s", socket.Endpoint)
	}
	socket.Start()
	expect(t, in, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
	client, partner := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("192.0.2.7:53")
	socket.Receive(partner, "too early")
	socket.Receive(client, header+"question", "", header[:5], "\x00\x00\x01"+header[3:]+"fragment",
		"\x00\x00\x00\x03\x01h\x00\x35name")
	socket.Receive(partner, "answer")
	socket.Receive(netip.MustParseAddrPort("127.0.0.1:10"), header+"another")
	socket.Receive(netip.MustParseAddrPort("192.0.2.8:53"), "stranger")
	sent := socket.Take()
	if len(sent) != 2 || sent[0].To != partner || string(sent[0].Data) != "question" ||
		sent[1].To != client || string(sent[1].Data) != header+"answer" {
		t.Errorf("found %q", sent)
	}
	if err := s.Reload(&factory{}); err == nil {
		t.Error("it moved, and the socket's partners did not")
	}
	in.Finish()
	expectEnd(t, in, wirehost.Done)
	if _, ended := socket.Ended(); !ended {
		t.Error("the socket is open")
	}
}

func TestAssociateFails(t *testing.T) {
	s := start(t, sdktest.Options{})
	in := s.Accept()
	in.Send(hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")
	in.Take()
	socket := s.Opened()[0]
	socket.Start()
	socket.Stop(wirehost.Lost)
	expectEnd(t, in, wirehost.Done)
	denied := start(t, sdktest.Options{Deny: true}).Accept()
	denied.Send(hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")
	expect(t, denied, "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")
	expectEnd(t, denied, wirehost.Done)
}
