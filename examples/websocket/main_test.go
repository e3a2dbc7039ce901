package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start(t *testing.T, config string, o sdktest.Options) *sdktest.Server {
	t.Helper()
	o.Config = config
	s, err := sdktest.Start(&factory{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pair are both sides of a WebSocket: a client, and the plugin behind.
func pair(t *testing.T, s *sdktest.Server) (client, back *sdktest.Conn) {
	t.Helper()
	client = s.Accept()
	client.Send(asks())
	list := s.Outgoing()
	if len(list) != 1 || list[0].Endpoint != "plugin://next" || client.Output() != "" {
		t.Fatalf("found %d connections, and %q", len(list), client.Output())
	}
	list[0].Establish()
	if got := client.Take(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Fatalf("found %q", got)
	}
	return client, list[0]
}

func expect(t *testing.T, c *sdktest.Conn, want string) {
	t.Helper()
	if got := c.Take(); got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
}

// frame is one as the server sends it.
func frame(first byte, payload string) string {
	return string(appendHead(nil, first, len(payload))) + payload
}

func farewell(code uint16, why string) string {
	return frame(last|opClose, string(binary.BigEndian.AppendUint16(nil, code))+why)
}

// isEnded holds a connection to have ended for a reason.
func isEnded(t *testing.T, name string, c *sdktest.Conn, want wirehost.Reason) {
	t.Helper()
	if r, ended := c.Ended(); !ended || r != want {
		t.Errorf("%s: found %v, %t, wanted %v", name, r, ended, want)
	}
}

func isOpen(t *testing.T, name string, c *sdktest.Conn) {
	t.Helper()
	if r, ended := c.Ended(); ended {
		t.Errorf("%s: found it ended (%v)", name, r)
	}
}

const lines = `{"messages": "lines", "max_message": 1000}`

func TestMessages(t *testing.T) {
	for _, c := range []struct{ messages, sent, behind, back, received string }{
		{"bytes", masked(opText, "he") + masked(last, "llo") + masked(last|opBinary, "\x00"), "hello\x00",
			"bye\n\xff", frame(last|opBinary, "bye\n\xff")},
		{"lines", masked(last|opText, "one") + masked(opText, "tw") + masked(0, "") + masked(last, "o") +
			masked(last|opText, ""), "one\r\ntwo\r\n\r\n",
			"a\r\nb\xff\n\nhalf", frame(last|opText, "a") + frame(last|opText, "b\uFFFD") + frame(last|opText, "")},
		{"frames", masked(opText, "he") + masked(last, "llo") + masked(last|opBinary, ""),
			"\x00\x00\x00\x03\x01he\x00\x00\x00\x04\x80llo\x00\x00\x00\x01\x82",
			"\x00\x00\x00\x02\x01\xc3\x00\x00\x00\x02\x80\xa4\x00\x00\x00\x01\x82\x00\x00",
			frame(opText, "\xc3") + frame(last, "\xa4") + frame(last|opBinary, "")},
	} {
		t.Run(c.messages, func(t *testing.T) {
			client, back := pair(t, start(t, `{"messages": "`+c.messages+`"}`, sdktest.Options{}))
			client.Send(c.sent)
			expect(t, back, c.behind)
			back.Send(c.back)
			expect(t, client, c.received)
			client.Send(masked(last|opPing, "are you there?"))
			expect(t, client, frame(last|opPong, "are you there?"))
			client.Send(masked(last|opPong, "nobody asked"))
			expect(t, client, "")
		})
	}
}

// TestBadFrames: whoever sends what it may not is told, and the stream behind is cut.
func TestBadFrames(t *testing.T) {
	for _, c := range malformed {
		client, back := pair(t, start(t, lines, sdktest.Options{}))
		client.Send(c.input + masked(last|opText, "more"))
		got := client.Take()
		if want := farewell(c.code, ""); !strings.HasPrefix(got, want[:1]) || len(got) < 4 || got[2:4] != want[2:4] ||
			len(got) != 2+int(got[1]) {
			t.Errorf("%s: found %q, wanted %d", c.name, got, c.code)
		}
		isEnded(t, c.name, client, wirehost.Done)
		isEnded(t, c.name, back, wirehost.Aborted)
		if strings.Contains(back.Take(), "more") {
			t.Errorf("%s: it went on", c.name)
		}
	}
}

// TestBadReturn: what comes back and is no message ends it, with the server's fault.
func TestBadReturn(t *testing.T) {
	for _, c := range []struct{ messages, back string }{
		{"lines", strings.Repeat("a", 1001)},
		{"lines", strings.Repeat("a", 1001) + "\n"},
		{"frames", "\x00\x00\x00\x00\x82"},
		{"frames", "\x00\x00\x03\xea\x82"},
		{"frames", "\x00\x00\x00\x01\x88"},
		{"frames", "\x00\x00\x00\x01\xc1"},
		{"frames", "\x00\x00\x00\x01\x80"},
		{"frames", "\x00\x00\x00\x02\x01a\x00\x00\x00\x01\x81"},
		{"frames", "\x00\x00\x00\x02\x81\xff"},
		{"frames", "\x00\x00\x00\x02\x01\xc3\x00\x00\x00\x01\x80"},
	} {
		client, back := pair(t, start(t, `{"messages": "`+c.messages+`", "max_message": 1000}`, sdktest.Options{}))
		back.Send(c.back)
		if got, want := client.Take(), farewell(1011,
			"found no message, or one that is too long, behind"); !strings.HasSuffix(
			got, want) {
			t.Errorf("%q: found %q, wanted %q", c.back, got, want)
		}
		isEnded(t, c.back, client, wirehost.Done)
		isEnded(t, c.back, back, wirehost.Aborted)
	}
}

func TestClientCloses(t *testing.T) {
	s := start(t, lines, sdktest.Options{})
	client, back := pair(t, s)
	client.Send(masked(last|opText, "last") + closeFrame(3001, "bye") + masked(last|opPing, "not answered"))
	expect(t, back, "last\r\n")
	expect(t, client, "")
	if back.State()&wirehost.StateWriteClosed == 0 {
		t.Error("the plugin behind does not know that nothing more comes")
	}
	back.Send("an answer\nand half a line")
	back.Finish()
	expect(t, client, frame(last|opText, "an answer")+frame(last|opText, "and half a line")+farewell(3001, "bye"))
	isEnded(t, "client", client, wirehost.Done)
	isEnded(t, "behind", back, wirehost.Done)
	if n := s.Timers(); n != 0 {
		t.Errorf("found %d timers", n)
	}

	client, back = pair(t, s) // without a code, to one that does not end
	client.Send(masked(last|opClose, ""))
	s.Advance(9 * time.Second)
	isOpen(t, "client", client)
	s.Advance(time.Second)
	expect(t, client, frame(last|opClose, ""))
	isEnded(t, "client", client, wirehost.Done)
	isEnded(t, "behind", back, wirehost.Done)
}

func TestPluginCloses(t *testing.T) {
	s := start(t, lines, sdktest.Options{})
	client, back := pair(t, s)
	back.Send("bye")
	back.Finish()
	expect(t, client, frame(last|opText, "bye")+farewell(1000, ""))
	client.Send(masked(last|opText, "on its way") + masked(last|opPing, ""))
	expect(t, back, "on its way\r\n")
	expect(t, client, "")
	isOpen(t, "client", client)
	client.Send(closeFrame(1000, ""))
	isEnded(t, "client", client, wirehost.Done)
	isEnded(t, "behind", back, wirehost.Done)
	expect(t, client, "")

	client, back = pair(t, s) // to one that does not answer
	back.Finish()
	expect(t, client, farewell(1000, ""))
	s.Advance(10 * time.Second)
	isEnded(t, "client", client, wirehost.Done)
	isEnded(t, "behind", back, wirehost.Done)

	for reason, code := range map[wirehost.Reason]uint16{wirehost.Lost: 1011, wirehost.Trapped: 1011,
		wirehost.Done: 1000} {
		client, back = pair(t, s)
		back.Break(reason)
		expect(t, client, farewell(code, ""))
		isEnded(t, reason.String(), client, wirehost.Done)
	}

	client, back = pair(t, start(t, `{"messages": "frames"}`, sdktest.Options{})) // in the middle of a message
	back.Send("\x00\x00\x00\x02\x01a")
	back.Finish()
	expect(t, client, frame(opText, "a")+farewell(1011, "found a message that is cut short behind"))
	isEnded(t, "client", client, wirehost.Done)
	isEnded(t, "behind", back, wirehost.Aborted)
}

// TestNobodyBehind: a page is told by a Close frame, as it is told nothing else.
func TestNobodyBehind(t *testing.T) {
	for reason, want := range map[wirehost.Reason]string{
		wirehost.Refused:    farewell(1013, "found nobody behind who takes connections now"),
		wirehost.Timeout:    farewell(1013, "found nobody behind who takes connections now"),
		wirehost.NoSuchHost: farewell(1011, "found nobody behind"),
		wirehost.NotAllowed: farewell(1011, "found nobody behind"),
	} {
		s := start(t, lines, sdktest.Options{})
		client := s.Accept()
		client.Send(asks() + masked(last|opText, "early"))
		s.Outgoing()[0].Fail(reason)
		if _, got, _ := strings.Cut(client.Take(), "\r\n\r\n"); got != want {
			t.Errorf("%v: found %q, wanted %q", reason, got, want)
		}
		isEnded(t, reason.String(), client, wirehost.Done)
	}
	client := start(t, lines, sdktest.Options{Deny: true}).Accept()
	client.Send(asks())
	if got := client.Take(); !strings.HasSuffix(got, farewell(1011, "found nobody behind")) {
		t.Errorf("found %q", got)
	}
}

// TestCut: a stream that ends without a Close frame is not whole.
func TestCut(t *testing.T) {
	for name, cut := range map[string]func(*sdktest.Conn){
		"end":   (*sdktest.Conn).Finish,
		"reset": func(c *sdktest.Conn) { c.Break(wirehost.Lost) },
	} {
		client, back := pair(t, start(t, lines, sdktest.Options{}))
		client.Send(masked(last|opText, "hello"))
		cut(client)
		isEnded(t, name, back, wirehost.Aborted)
		if _, ended := client.Ended(); !ended {
			t.Errorf("%s: the client's connection is left", name)
		}
		s := start(t, lines, sdktest.Options{}) // while it connects
		client = s.Accept()
		client.Send(asks())
		client.Break(wirehost.Lost)
		if n := len(s.Outgoing()); n != 0 {
			t.Errorf("%s: found %d connections that are still made", name, n)
		}
	}
}

func TestTimes(t *testing.T) {
	s := start(t, `{"messages": "lines", "timeout": 5, "ping": 20}`, sdktest.Options{})
	slow := s.Accept()
	slow.Send("GET / ")
	s.Advance(5 * time.Second)
	if got := slow.Take(); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("found %q", got)
	}
	isEnded(t, "who asks slowly", slow, wirehost.Done)

	client, back := pair(t, s)
	for range 3 {
		s.Advance(20 * time.Second)
		expect(t, client, frame(last|opPing, ""))
		client.Send(masked(last|opPong, ""))
	}
	back.Stall() // so that the client is not read, and may well have answered
	client.Send(masked(last|opText, strings.Repeat("a", 60_000)) + masked(last|opText, strings.Repeat("a", 60_000)))
	for range 3 {
		s.Advance(20 * time.Second)
		expect(t, client, frame(last|opPing, ""))
	}
	back.Drain()
	client.Send(masked(last|opPong, ""))
	s.Advance(20 * time.Second)
	client.Stall() // so that it was not asked
	back.Send("answer\n")
	s.Advance(20 * time.Second)
	s.Advance(20 * time.Second)
	isOpen(t, "who has much to read", client)
	client.Drain()
	s.Advance(20 * time.Second)
	isEnded(t, "who is silent", client, wirehost.Aborted)
	isEnded(t, "behind", back, wirehost.Aborted)
}

// TestBackPressure: who does not read stops the other side, both ways.
func TestBackPressure(t *testing.T) {
	client, back := pair(t, start(t, `{}`, sdktest.Options{}))
	big := strings.Repeat("a", 100_000)
	client.Stall()
	back.Send(big)
	back.Send(big)
	if client.Queued() > 140_000 || back.State()&wirehost.StatePaused == 0 {
		t.Errorf("found %d bytes queued, and %b", client.Queued(), back.State())
	}
	for range 10 {
		client.Drain()
	}
	if n := strings.Count(client.Take(), "a"); n != 2*len(big) {
		t.Errorf("found %d bytes", n)
	}
	back.Stall()
	client.Send(masked(last|opBinary, big))
	client.Send(masked(last|opBinary, big))
	if back.Queued() > 140_000 || client.State()&wirehost.StatePaused == 0 {
		t.Errorf("found %d bytes queued, and %b", back.Queued(), client.State())
	}
	for range 10 {
		back.Drain()
	}
	expect(t, back, big+big)
}

// TestReload: at each byte of a conversation another version goes on.
func TestReload(t *testing.T) {
	sent := asks() + masked(opText, "h\xc3") + masked(last|opPing, "p") + masked(last, "\xa4llo") + closeFrame(1000, "")
	const returned = "one\ntwo\n"
	for cut := range len(sent) {
		s := start(t, lines, sdktest.Options{})
		client := s.Accept()
		var back *sdktest.Conn
		reload := func() {
			t.Helper()
			if err := s.Reload(&factory{}); err != nil {
				t.Fatal(cut, err)
			}
		}
		send := func(text string) {
			client.Send(text)
			if list := s.Outgoing(); len(list) > 0 {
				if cut == len(asks()) {
					reload() // while it connects
				}
				back = list[0]
				back.Establish()
				back.Send(returned[:5])
			}
		}
		send(sent[:cut])
		reload()
		send(sent[cut:])
		reload()
		back.Send(returned[5:])
		back.Finish()
		_, got, _ := strings.Cut(client.Take(), "\r\n\r\n")
		want := frame(last|opText, "one") + frame(last|opText, "two") + farewell(1000, "")
		pong := frame(last|opPong, "p") // where it stands is a matter of the cut
		if strings.Replace(got, pong, "", 1) != want || !strings.Contains(got, pong) {
			t.Fatalf("cut at %d: found %q, wanted %q and %q", cut, got, want, pong)
		}
		expect(t, back, "h\u00e4llo\r\n")
		isEnded(t, fmt.Sprint(cut), client, wirehost.Done)
		isEnded(t, fmt.Sprint(cut), back, wirehost.Done)
		if n := s.Timers(); n != 0 {
			t.Fatalf("cut at %d: found %d timers", cut, n)
		}
	}
}

func TestHugeRequest(t *testing.T) {
	for _, request := range []string{strings.Repeat("a", longestHead), asks("X: " + strings.Repeat("x", longestHead))} {
		c := start(t, lines, sdktest.Options{}).Accept()
		c.Send(request)
		if got := c.Take(); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
			t.Errorf("found %q", got)
		}
		isEnded(t, "client", c, wirehost.Done)
	}
}

func TestConfig(t *testing.T) {
	exampletest.ConfigRefused(t, func() wirehost.Factory { return &factory{} }, map[string]string{
		`{"messages": "text"}`:        `config.messages: found "text", wanted bytes, lines or frames`,
		`{"max_message": 0}`:          "config.max_message: found 0",
		`{"max_message": 1073741825}`: "config.max_message: found 1073741825",
		`{"timeout": 0}`:              "config.timeout: found 0",
		`{"ping": -1}`:                "config.ping: found -1",
		`{"pong": 1}`:                 "pong",
	})
}

func TestRestoreRefused(t *testing.T) {
	f := &factory{}
	exampletest.RestoreRefused(t, "a client's version", &client{factory: f}, 2, "", "found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "a plugin's version", &behind{factory: f}, 2, "", "found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "a client's pair", &client{factory: f}, 1, "", "no handle")
	exampletest.RestoreRefused(t, "a client's timer", &client{factory: f}, 1, "\x00", "time-out")
	exampletest.RestoreRefused(t, "a client's progress", &client{factory: f}, 1, "\x00\x00\x00{", "JSON")
	exampletest.RestoreRefused(t, "a plugin's progress", &behind{factory: f}, 1, "\x00[]", "returned")
}
