package wirehost_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// probe does in each callback what a test says.
type probe struct {
	wirehost.Base
	made func(p *probe)
	data func(p *probe, data []byte)
	lost func(p *probe, reason wirehost.Reason)
}

func (p *probe) ConnectionMade() {
	if p.made != nil {
		p.made(p)
	}
}

func (p *probe) DataReceived(data []byte) {
	if p.data != nil {
		p.data(p, data)
	}
}

func (p *probe) ConnectionLost(reason wirehost.Reason) {
	if p.lost != nil {
		p.lost(p, reason)
	}
}

// open makes a server for one protocol, and a connection.
func open(t *testing.T, p wirehost.Protocol, o sdktest.Options) (*sdktest.Server, *sdktest.Conn) {
	t.Helper()
	s, err := sdktest.Start(factoryOf(func() wirehost.Protocol { return p }), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Accept()
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestWritesAreGathered(t *testing.T) {
	big := strings.Repeat("B", 5000)
	for _, c := range []struct {
		name  string
		write func(t *wirehost.Transport)
		want  string
		calls int // writes that the server saw
	}{
		{"none", func(*wirehost.Transport) {}, "", 0},
		{"empty", func(t *wirehost.Transport) { _, _ = t.Write(nil); _, _ = t.WriteString("") }, "", 0},
		{"small ones", func(t *wirehost.Transport) {
			for _, s := range []string{"a", "b", "c"} {
				_, _ = t.Write([]byte(s))
				_, _ = t.WriteString(s)
			}
		}, "aabbcc", 1},
		{"sequence of small ones", func(t *wirehost.Transport) {
			_ = t.WriteSequence([]byte("a"), nil, []byte("b"))
			_ = t.WriteSequence()
		}, "ab", 1},
		{"large one", func(t *wirehost.Transport) { _, _ = t.Write([]byte(big)) }, big, 1},
		{"large one behind a small one, and a small one", func(t *wirehost.Transport) {
			_, _ = t.WriteString("a")
			_, _ = t.Write([]byte(big))
			_, _ = t.WriteString("z")
		}, "a" + big + "z", 2},
		{"large sequence", func(t *wirehost.Transport) {
			_, _ = t.WriteString("a")
			_ = t.WriteSequence([]byte(big), []byte("m"), []byte(big))
		}, "a" + big + "m" + big, 2},
		{"sequence of many", func(t *wirehost.Transport) {
			parts := make([][]byte, 3000)
			for i := range parts {
				parts[i] = []byte("xy")
			}
			_ = t.WriteSequence(parts...)
		}, strings.Repeat("xy", 3000), 3},
		{"more than is gathered", func(t *wirehost.Transport) {
			for range 70 {
				_, _ = t.WriteString(big[:1000])
			}
		}, strings.Repeat("B", 70000), 2},
		{"string over all bounds", func(t *wirehost.Transport) { _, _ = t.WriteString(strings.Repeat("s", 70000)) },
			strings.Repeat("s", 70000), 1},
		{"flush",
			func(t *wirehost.Transport) {
				_, _ = t.WriteString("a")
				_, _ = t.Flush()
				_, _ = t.WriteString("b")
			}, "ab", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, conn := open(t, &probe{made: func(p *probe) { c.write(p.Transport) }}, sdktest.Options{})
			if conn.Output() != c.want || s.Writes != c.calls {
				t.Errorf("found %d bytes %.40q in %d calls\nwanted %d bytes %.40q in %d", len(conn.Output()),
					conn.Output(), s.Writes,
					len(c.want), c.want, c.calls)
			}
		})
	}
}

// A callback may write to many connections by turns: to each in order, with one call to
// the server. What is aborted meanwhile is dropped, and what is closed goes first.
func TestWritesToMany(t *testing.T) {
	var list []*probe
	s, err := sdktest.Start(factoryOf(func() wirehost.Protocol {
		p := &probe{}
		list = append(list, p)
		return p
	}), sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conns := []*sdktest.Conn{s.Accept(), s.Accept(), s.Accept(), s.Accept()}
	list[0].data = func(*probe, []byte) {
		for n, to := range []int{1, 2, 1, 3, 2, 0, 1, 3} {
			_, _ = list[to].Transport.Write([]byte{byte('0' + n)})
		}
	}
	for range 3 {
		before := s.Writes
		conns[0].Send("x")
		for n, want := range []string{"5", "026", "14", "37"} {
			if got := conns[n].Take(); got != want {
				t.Errorf("connection %d: found %q, wanted %q", n, got, want)
			}
		}
		if calls := s.Writes - before; calls != len(conns) {
			t.Errorf("found %d writes, wanted %d", calls, len(conns))
		}
	}
	list[0].data = func(*probe, []byte) {
		for n, to := range []int{0, 1, 2, 3, 0, 1, 2, 3} {
			_, _ = list[to].Transport.Write([]byte{byte('0' + n)})
		}
		_ = list[1].Transport.AbortConnection()
		_ = list[2].Transport.LoseConnection()
		_ = list[3].Transport.AbortConnection()
		_, _ = list[2].Transport.WriteString("dropped")
	}
	conns[0].Send("x")
	for n, want := range []string{"04", "", "26", ""} {
		if got := conns[n].Take(); got != want {
			t.Errorf("connection %d: found %q, wanted %q", n, got, want)
		}
	}
	conns[0].Send("x") // three of them have ended
	if got := conns[0].Take(); got != "04" {
		t.Errorf("found %q", got)
	}
}

// The buffer given to Write may be used again at once.
func TestWriteCopies(t *testing.T) {
	_, c := open(t, &probe{data: func(p *probe, data []byte) {
		_, _ = p.Transport.Write(data)
		clear(data)
	}}, sdktest.Options{})
	c.Send("kept")
	if got := c.Output(); got != "kept" {
		t.Errorf("found %q", got)
	}
}

// Every call that changes the connection keeps its place among the writes.
func TestOrder(t *testing.T) {
	for name, end := range map[string]func(t *wirehost.Transport) error{
		"LoseConnection":      (*wirehost.Transport).LoseConnection,
		"LoseWriteConnection": (*wirehost.Transport).LoseWriteConnection,
	} {
		_, c := open(t, &probe{made: func(p *probe) {
			_, _ = p.Transport.WriteString("before")
			must(t, end(p.Transport))
			if n, err := p.Transport.WriteString("after"); n != 5 || err != nil {
				t.Errorf("%s: a write behind it: found %d, %v; wanted it dropped with no error", name, n, err)
			}
			must(t, p.Transport.WriteSequence([]byte("after")))
			if n, err := p.Transport.Flush(); n != 0 || err != nil {
				t.Errorf("%s: a flush behind it: found %d, %v", name, n, err)
			}
		}}, sdktest.Options{})
		if c.Output() != "before" {
			t.Errorf("%s: found %q", name, c.Output())
		}
	}
	_, c := open(t, &probe{made: func(p *probe) {
		_, _ = p.Transport.WriteString("dropped")
		must(t, p.Transport.AbortConnection())
		_, _ = p.Transport.WriteString("after")
	}}, sdktest.Options{})
	if reason, ended := c.Ended(); c.Output() != "" || !ended || reason != wirehost.Aborted {
		t.Errorf("AbortConnection: found %q, %t %v", c.Output(), ended, reason)
	}
}

func TestLastCallback(t *testing.T) {
	var kept *probe
	_, c := open(t, &probe{
		made: func(p *probe) {
			kept = p
			if !p.Connected {
				t.Error("ConnectionMade: not Connected")
			}
			if _, err := p.Transport.ReasonText(); err != wirehost.ErrInvalid {
				t.Errorf("ReasonText before the end: found %v", err)
			}
		},
		lost: func(p *probe, reason wirehost.Reason) {
			if !p.Connected || !p.Transport.Disconnecting() {
				t.Error("ConnectionLost: wanted Connected and Disconnecting")
			}
			if n, err := p.Transport.WriteString("x"); n != 1 || err != nil {
				t.Errorf("write in ConnectionLost: found %d, %v", n, err)
			}
			if text, err := p.Transport.ReasonText(); text != "timeout" || err != nil || reason != wirehost.Timeout {
				t.Errorf("found reason %v, %q, %v", reason, text, err)
			}
			if peer, err := p.Transport.Peer(); peer != "tcp://127.0.0.1:50000" || err != nil {
				t.Errorf("found peer %q, %v", peer, err)
			}
			if err := p.Transport.LoseConnection(); err != wirehost.ErrNoConnection {
				t.Errorf("LoseConnection in ConnectionLost: found %v", err)
			}
		},
	}, sdktest.Options{})
	c.Break(wirehost.Timeout)
	if kept.Connected || c.Output() != "" {
		t.Errorf("after the end: found Connected %t, output %q", kept.Connected, c.Output())
	}
	tr := kept.Transport
	_, werr := tr.Write([]byte("x"))
	_, serr := tr.WriteString("x")
	_, ferr := tr.Flush()
	_, sterr := tr.State()
	_, perr := tr.Peer()
	for i, err := range []error{
		werr, serr, ferr, sterr, perr, tr.WriteSequence(nil), tr.LoseConnection(), tr.LoseWriteConnection(),
		tr.AbortConnection(),
		tr.PauseProducing(), tr.ResumeProducing(), tr.RegisterProducer(&wirehost.FileSender{},
			false), tr.UnregisterProducer(),
		tr.SetTimeout(time.Second), tr.SetTCPNoDelay(true), tr.SetTCPKeepAlive(true), tr.StartTLS(),
	} {
		if err != wirehost.ErrNoConnection {
			t.Errorf("call %d on an ended connection: found %v, wanted ErrNoConnection", i, err)
		}
	}
}

// Over the hard limit: a large write says so at once, gathered ones say so to the
// next, and the connection is aborted.
func TestHardLimit(t *testing.T) {
	var direct, next error
	_, c := open(t, &probe{
		made: func(p *probe) { _, direct = p.Transport.Write(make([]byte, 5000)) },
	}, sdktest.Options{Max: 4999, Stalled: true})
	if reason, _ := c.Ended(); !errors.Is(direct, wirehost.ErrTooBig) || reason != wirehost.OverLimit {
		t.Errorf("found error %v, reason %v", direct, reason)
	}
	s, c := open(t, &probe{
		data: func(p *probe, _ []byte) { _, _ = p.Transport.WriteString("more than ten bytes") },
		lost: func(p *probe, _ wirehost.Reason) { _, next = p.Transport.WriteString("x") },
	}, sdktest.Options{Max: 10, Stalled: true})
	c.Send("go")
	if reason, _ := c.Ended(); !errors.Is(next, wirehost.ErrTooBig) || reason != wirehost.OverLimit {
		t.Errorf("gathered: found error %v, reason %v", next, reason)
	}
	if len(s.Lines) != 1 || s.Lines[0].Level != wirehost.LevelWarn ||
		!strings.Contains(s.Lines[0].Text, "over a limit") {
		t.Errorf("gathered: found log %v", s.Lines)
	}
}

func TestFlushCounts(t *testing.T) {
	var first, second int
	_, _ = open(t, &probe{made: func(p *probe) {
		_, _ = p.Transport.WriteString("12345")
		first, _ = p.Transport.Flush()
		_, _ = p.Transport.Write(make([]byte, 5000))
		second, _ = p.Transport.Flush()
	}}, sdktest.Options{Stalled: true})
	if first != 5 || second != 5005 {
		t.Errorf("found %d and %d queued, wanted 5 and 5005", first, second)
	}
}

// halfCloser goes on after one side's close.
type halfCloser struct{ probe }

func (p *halfCloser) ReadConnectionLost()  { _, _ = p.Transport.WriteString("read lost, ") }
func (p *halfCloser) WriteConnectionLost() { _, _ = p.Transport.WriteString("dropped") }

func TestHalfClose(t *testing.T) {
	_, c := open(t, &probe{}, sdktest.Options{})
	c.Finish()
	if reason, ended := c.Ended(); !ended || reason != wirehost.Done {
		t.Errorf("not half-closeable: found ended %t, %v", ended, reason)
	}
	p := &halfCloser{}
	s, c := open(t, p, sdktest.Options{})
	c.Finish()
	if _, ended := c.Ended(); ended || c.Take() != "read lost, " {
		t.Error("half-closeable: wanted ReadConnectionLost, and the connection to go on")
	}
	_, _ = p.Reactor().CallLater(0, func() {
		_, _ = p.Transport.WriteString("goodbye")
		must(t, p.Transport.LoseWriteConnection())
	})
	s.Advance(0)
	if reason, ended := c.Ended(); !ended || reason != wirehost.Done || c.Take() != "goodbye" {
		t.Errorf("both sides closed: found ended %t, %v", ended, reason)
	}
}

func TestGetters(t *testing.T) {
	p := &handshaker{}
	_, c := open(t, p, sdktest.Options{TLS: true})
	cert := []byte(strings.Repeat("certificate", 100)) // more than the first try's buffer
	c.Handshake("h2", cert)
	if p.alpn != "h2" || string(p.cert) != string(cert) || p.state&wirehost.StateTLS == 0 ||
		p.host != "tcp://127.0.0.1:7007" {
		t.Errorf("found %q, %d bytes of certificate, state %b, host %q", p.alpn, len(p.cert), p.state, p.host)
	}
}

// handshaker asks everything when TLS is up.
type handshaker struct {
	probe
	alpn, host string
	cert       []byte
	state      wirehost.State
}

func (p *handshaker) HandshakeCompleted() {
	p.alpn, _ = p.Transport.NegotiatedProtocol()
	p.host, _ = p.Transport.Host()
	p.cert, _ = p.Transport.PeerCertificate()
	p.state, _ = p.Transport.State()
}

func TestStatusesComeBack(t *testing.T) {
	open(t, &probe{made: func(p *probe) {
		tr := p.Transport
		must(t, tr.SetTCPNoDelay(false))
		must(t, tr.SetTCPKeepAlive(true))
		if err := tr.StartTLS(); err != wirehost.ErrNotSupported {
			t.Errorf("StartTLS with no certificate: found %v", err)
		}
		must(t, tr.RegisterProducer(&wirehost.FileSender{}, true))
		if err := tr.RegisterProducer(&wirehost.FileSender{}, true); err != wirehost.ErrBusy {
			t.Errorf("second producer: found %v", err)
		}
		for _, d := range []time.Duration{-1, 25 * 24 * time.Hour} {
			if err := tr.SetTimeout(d); err != wirehost.ErrInvalid {
				t.Errorf("SetTimeout(%v): found %v", d, err)
			}
		}
	}}, sdktest.Options{})
	open(t, &probe{made: func(p *probe) {
		must(t, p.Transport.StartTLS())
		if err := p.Transport.StartTLS(); err != wirehost.ErrBusy {
			t.Errorf("StartTLS again: found %v", err)
		}
	}}, sdktest.Options{TLS: true})
}

func TestIdleTimeout(t *testing.T) {
	s, c := open(t, &probe{made: func(p *probe) { must(t, p.Transport.SetTimeout(1500*time.Millisecond)) }},
		sdktest.Options{})
	s.Advance(time.Second)
	c.Send("x")
	s.Advance(1499 * time.Millisecond)
	if _, ended := c.Ended(); ended {
		t.Error("ended early")
	}
	s.Advance(time.Millisecond)
	if reason, ended := c.Ended(); !ended || reason != wirehost.Timeout {
		t.Errorf("found ended %t, %v", ended, reason)
	}
}

// refusesAll builds no protocol.
type refusesAll struct{}

func (refusesAll) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

// A test that goes on with a connection that was refused is told so.
func TestRefusedConnection(t *testing.T) {
	s, err := sdktest.Start(refusesAll{}, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	for name, f := range map[string]func(){"Send": func() { c.Send("x") }, "Finish": c.Finish,
		"Take": func() { c.Take() }, "Output": func() { c.Output() }} {
		func() {
			defer func() {
				const want = "sdktest: found no connection: Accept gives nil where the factory refuses it"
				if why := recover(); why != want {
					t.Errorf("%s: found %v", name, why)
				}
			}()
			f()
		}()
	}
}
