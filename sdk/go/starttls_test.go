package wirehost_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// A peer, or whoever sits between, sends more plain text behind the command that
// asks for TLS (RFC 3207, section 4.2). The protocols of these tests write each
// frame that they get, and know "tls": whatever has "EVIL" in it came in plain
// text behind that.

func tlsFrame(b *wirehost.Base, frame []byte) {
	note(b, "got", frame)
	if string(frame) == "tls" {
		_ = b.Transport.StartTLS() // the tests look at what follows
	}
}

type tlsLines struct {
	wirehost.LineReceiver
	extra int // of the raw bytes, what goes back to the lines: -1 is before StartTLS
}

func (p *tlsLines) LineReceived(line []byte) {
	switch string(line) {
	case "raw":
		p.SetRawMode()
	case "pause":
		_ = p.PauseProducing()
		_, _ = p.Reactor().CallLater(time.Millisecond, func() { tlsFrame(&p.Base, []byte("tls")) })
	case "again": // what a protocol within a protocol does
		tlsFrame(&p.Base, []byte("tls"))
		p.DataReceived([]byte("EVIL again\r\n"))
	case "resume":
		_ = p.ResumeProducing()
	default:
		tlsFrame(&p.Base, line)
	}
}

func (p *tlsLines) RawDataReceived(data []byte) {
	extra := data[min(3, len(data)):]
	if p.extra < 0 {
		p.SetLineMode(extra)
	}
	tlsFrame(&p.Base, data[:len(data)-len(extra)])
	if p.extra >= 0 {
		p.SetLineMode(extra)
	}
}

func (p *tlsLines) HandshakeCompleted() { _ = p.ResumeProducing() }

func (p *tlsLines) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

func (p *tlsLines) RestoreState(_ int32, state []byte) error {
	_, err := p.LoadState(state)
	return err
}

type tlsLinesOnly struct{ wirehost.LineOnlyReceiver }

func (p *tlsLinesOnly) LineReceived(line []byte) { tlsFrame(&p.Base, line) }

type tlsNetstrings struct{ wirehost.NetstringReceiver }

func (p *tlsNetstrings) StringReceived(s []byte) { tlsFrame(&p.Base, s) }

type tlsInt8 struct{ wirehost.Int8StringReceiver }

func (p *tlsInt8) StringReceived(s []byte) { tlsFrame(&p.Base, s) }

type tlsInt16 struct{ wirehost.Int16StringReceiver }

func (p *tlsInt16) StringReceived(s []byte) { tlsFrame(&p.Base, s) }

type tlsInt32 struct{ wirehost.Int32StringReceiver }

func (p *tlsInt32) StringReceived(s []byte) { tlsFrame(&p.Base, s) }

// tlsStateful takes three bytes at a time.
type tlsStateful struct{ wirehost.StatefulProtocol }

func (p *tlsStateful) InitialState() (wirehost.StateFunc, int) { return p.three, 3 }

func (p *tlsStateful) three(data []byte) (wirehost.StateFunc, int) {
	tlsFrame(&p.Base, data)
	return nil, 0
}

func intN(size int, s string) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(len(s)))
	return string(b[4-size:]) + s
}

func TestNothingPlainAfterStartTLS(t *testing.T) {
	lines := func() wirehost.Protocol { return &tlsLines{} }
	linesBefore := func() wirehost.Protocol { return &tlsLines{extra: -1} }
	for _, c := range []struct {
		name   string
		build  func() wirehost.Protocol
		plain  string   // up to and with what asks for TLS
		evil   []string // behind it
		secure string
		want   string
	}{
		{"lines", lines, "tls\r\n", []string{"EVIL\r\n", "EV", "EVIL\r", "EVIL\r\nEVIL\r\nEV"}, "ok\r\n",
			"got<tls>got<ok>"},
		{"line buffer", lines, "a\r\ntls\r\n", []string{"EVIL\r\n"}, "ok\r\n", "got<a>got<tls>got<ok>"},
		{"raw", lines, "raw\r\ntls", []string{"EVIL\r\n", "EV"}, "ok\r\n", "got<tls>got<ok>"},
		{"raw, given back before", linesBefore, "raw\r\ntls", []string{"EVIL\r\n", "EV"}, "ok\r\n", "got<tls>got<ok>"},
		{"paused", lines, "pause\r\n", []string{"EVIL\r\n", "EV"}, "ok\r\n", "got<tls>got<ok>"},
		{"called again", lines, "again\r\n", []string{"EVIL\r\n", ""}, "ok\r\n", "got<tls>got<ok>"},
		{"resumed", lines, "tls\r\n", []string{"resume\r\nEVIL\r\n"}, "ok\r\n", "got<tls>got<ok>"},
		{"lines only", func() wirehost.Protocol { return &tlsLinesOnly{} }, "tls\r\n", []string{"EVIL\r\n", "EV"},
			"ok\r\n", "got<tls>got<ok>"},
		{"netstrings", func() wirehost.Protocol { return &tlsNetstrings{} }, "3:tls,", []string{"4:EVIL,", "4:EV", "9"},
			"2:ok,", "got<tls>got<ok>"},
		{"int8", func() wirehost.Protocol { return &tlsInt8{} }, intN(1, "tls"), []string{intN(1, "EVIL"), "\x09EV"},
			intN(1, "ok"), "got<tls>got<ok>"},
		{"int16", func() wirehost.Protocol { return &tlsInt16{} }, intN(2, "tls"), []string{intN(2, "EVIL"), "\x00"},
			intN(2, "ok"), "got<tls>got<ok>"},
		{"int32", func() wirehost.Protocol { return &tlsInt32{} }, intN(4, "tls"),
			[]string{intN(4, "EVIL"), "\x00\x00"}, intN(4, "ok"), "got<tls>got<ok>"},
		{"stateful", func() wirehost.Protocol { return &tlsStateful{} }, "tls", []string{"EVIL!!", "EV"}, "yes",
			"got<tls>got<yes>"},
	} {
		for _, evil := range c.evil {
			t.Run(c.name+"/"+evil, func(t *testing.T) {
				s, err := sdktest.Start(factoryOf(c.build), sdktest.Options{TLS: true})
				if err != nil {
					t.Fatal(err)
				}
				conn := s.Accept()
				conn.Send(c.plain + evil)
				s.Advance(time.Millisecond)
				if conn.State()&wirehost.StateTLS == 0 {
					t.Fatal("StartTLS was not called")
				}
				conn.Handshake("", nil)
				conn.Send(c.secure)
				if got := conn.Output(); got != c.want {
					t.Errorf("found %q, wanted %q", got, c.want)
				}
			})
		}
	}
}

// A reload between StartTLS and the handshake, and one after it, bring nothing
// back.
func TestReloadAfterStartTLS(t *testing.T) {
	for _, early := range []bool{true, false} {
		f := func() wirehost.Factory { return factoryOf(func() wirehost.Protocol { return &tlsLines{} }) }
		s, err := sdktest.Start(f(), sdktest.Options{TLS: true})
		if err != nil {
			t.Fatal(err)
		}
		c := s.Accept()
		c.Send("pause\r\nEVIL\r\nEV")
		s.Advance(time.Millisecond)
		if !early {
			c.Handshake("", nil)
		}
		must(t, s.Reload(f()))
		if early {
			c.Handshake("", nil)
		}
		c.Send("ok\r\n")
		if got := c.Output(); got != "got<tls>got<ok>" {
			t.Errorf("early %t: found %q", early, got)
		}
	}
}

// Where StartTLS fails the plain text goes on.
func TestStartTLSFails(t *testing.T) {
	s, err := sdktest.Start(factoryOf(func() wirehost.Protocol { return &tlsLines{} }), sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send("tls\r\nmore\r\n")
	if got := c.Output(); got != "got<tls>got<more>" {
		t.Errorf("found %q", got)
	}
	s, err = sdktest.Start(factoryOf(func() wirehost.Protocol { return &tlsLines{} }), sdktest.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	c = s.Accept()
	c.Send("tls\r\n")
	c.Handshake("", nil)
	c.Send("tls\r\nmore\r\n") // a second one is ErrBusy
	if got := c.Output(); got != "got<tls>got<tls>got<more>" {
		t.Errorf("twice: found %q", got)
	}
}

// What the server has not delivered goes to the handshake, which fails.
func TestUndeliveredAtStartTLS(t *testing.T) {
	for name, plain := range map[string]string{
		"more than one delivery": "tls\r\n" + strings.Repeat("EVIL\r\n", 20<<10),
		"before the handshake":   "tls\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sdktest.Start(factoryOf(func() wirehost.Protocol { return &tlsLines{} }),
				sdktest.Options{TLS: true})
			if err != nil {
				t.Fatal(err)
			}
			c := s.Accept()
			c.Send(plain)
			if _, ended := c.Ended(); !ended {
				c.Send("EVIL\r\n")
			}
			if reason, ended := c.Ended(); !ended || reason != wirehost.TLSFailure {
				t.Errorf("found %v, %t", reason, ended)
			}
			if got := c.Output(); got != "got<tls>" {
				t.Errorf("found %.100q", got)
			}
		})
	}
}
