package tlsrecord

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"
)

// A pair is one end of a connection after its handshake, as crypto/tls has it
// and as we have it. Each stream is played to a fresh copy of both.
type pair struct {
	client  bool
	library *tls.Conn
	wire    *wire
	state   State // of the near end
	far     State // of the other
}

func newPair(tb testing.TB, suite uint16, client bool) *pair {
	tb.Helper()
	onlySuite(tb, suite)
	s := shake(tb, false)
	p := &pair{client: client, library: s.server, wire: s.serverWire, state: s.state(client), far: s.state(!client)}
	if client {
		p.library, p.wire = s.client, s.clientWire
	}
	return p
}

// outcome is what came of a stream.
type outcome struct {
	data    []byte
	end     string // "open", "close_notify", "alert" of the peer's, "refused"
	alert   int    // what was sent, -1 if none was
	answers int    // key updates that were sent
	why     string // our error
}

func (o outcome) String() string {
	return fmt.Sprintf("%d bytes, %s, sent alert %d and %d key updates", len(o.data), o.end, o.alert, o.answers)
}

var errCut = errors.New("the stream has ended")

// playLibrary gives a stream to a copy of crypto/tls's connection, made as
// only a test may: nobody uses the original.
func (p *pair) playLibrary(tb testing.TB, stream []byte) outcome {
	tb.Helper()
	conn := new(tls.Conn)
	reflect.ValueOf(conn).Elem().Set(reflect.ValueOf(p.library).Elem())
	p.wire.in.left = 0
	p.wire.in.b, p.wire.in.closed, p.wire.in.end = slices.Clone(stream), true, errCut
	p.wire.out.b = nil
	var o outcome
	buf := make([]byte, MaxPlain)
	for {
		n, err := conn.Read(buf)
		o.data = append(o.data, buf[:n]...)
		remote := (*net.OpError)(nil)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errCut) || errors.Is(err, io.ErrUnexpectedEOF):
			o.end = "open"
		case errors.Is(err, io.EOF):
			o.end = "close_notify"
		case errors.As(err, &remote) && remote.Op == "remote error":
			o.end = "alert"
		default:
			o.end = "refused"
		}
		p.sent(tb, &o, p.wire.out.b)
		return o
	}
}

// playOurs gives a stream to a record layer of ours.
func (p *pair) playOurs(tb testing.TB, stream []byte) outcome {
	tb.Helper()
	c, err := New(p.state)
	if err != nil {
		tb.Fatal(err)
	}
	stream = slices.Clone(stream)
	o := outcome{end: "open"}
	var sent []byte
	for {
		n, err := c.Next(stream)
		if err == nil && (n == 0 || n > len(stream)) {
			break
		}
		var plain []byte
		if err == nil {
			plain, err = c.Open(nil, stream[:n])
		}
		if err != nil {
			o.end, o.why = "refused", err.Error()
			if e := (*Error)(nil); errors.As(err, &e) && e.Remote {
				o.end = "alert"
			} else if errors.Is(err, io.EOF) {
				o.end = "close_notify"
			}
			sent = c.Alert(sent, err)
			break
		}
		o.data = append(o.data, plain...)
		sent = c.Answer(sent)
		stream = stream[n:]
	}
	p.sent(tb, &o, sent)
	return o
}

// sent reads what an end has sent.
func (p *pair) sent(tb testing.TB, o *outcome, records []byte) {
	tb.Helper()
	o.alert = -1
	far, err := New(p.far)
	if err != nil {
		tb.Fatal(err)
	}
	for len(records) > 0 {
		far.useless = 0
		n, err := far.Next(records)
		if err == nil {
			_, err = far.Open(nil, records[:n])
		}
		if e := (*Error)(nil); errors.As(err, &e) && e.Remote {
			o.alert = int(e.Alert)
		} else if err != nil {
			tb.Fatalf("what an end has sent: %v", err)
		} else if far.in.seq == 0 {
			o.answers++
		}
		records = records[n:]
	}
}

// A script makes a stream: what it seals is right where it isn't said otherwise.
type script struct {
	tb      testing.TB
	out     *half
	records [][]byte
}

func (p *pair) script(tb testing.TB) *script {
	tb.Helper()
	far, err := New(p.far)
	if err != nil {
		tb.Fatal(err)
	}
	return &script{tb: tb, out: &far.out}
}

// inner seals whatever stands for content, type and padding.
func (s *script) inner(b []byte) {
	size := len(b) + tagSize
	r := []byte{applicationData, 3, 3, byte(size >> 8), byte(size)}
	s.raw(s.out.aead.Seal(r, s.out.next(), b, slices.Clone(r)))
	s.out.seq++
}

func (s *script) put(kind byte, content ...byte) { s.inner(append(slices.Clone(content), kind)) }
func (s *script) raw(b []byte)                   { s.records = append(s.records, b) }

func (s *script) newKey() {
	if err := s.out.update(); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *script) keyUpdate(asks byte) {
	s.put(handshake, keyUpdate, 0, 0, 1, asks)
	s.newKey()
}

// pieces puts handshake messages in records of some bytes each.
func (s *script) pieces(b []byte, size int) {
	for piece := range slices.Chunk(b, size) {
		s.put(handshake, piece...)
	}
}

func (s *script) last() []byte { return s.records[len(s.records)-1] }

func (s *script) stream() []byte { return bytes.Join(s.records, nil) }

// ticket is a NewSessionTicket with a label of n bytes.
func ticket(n int) []byte {
	body := []byte{0, 0, 1, 0, 1, 2, 3, 4, 1, 9, byte(n >> 8), byte(n)}
	body = append(append(body, make([]byte, n)...), 0, 0)
	return append([]byte{newSessionTicket, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

// both plays a script to both layers.
func (p *pair) both(tb testing.TB, s *script) (ours, library outcome) {
	tb.Helper()
	stream := s.stream()
	return p.playOurs(tb, stream), p.playLibrary(tb, stream)
}

func eachPair(t *testing.T, test func(t *testing.T, p *pair)) {
	t.Helper()
	for i := range suites {
		for _, client := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/client=%v", tls.CipherSuiteName(suites[i].id), client), func(t *testing.T) {
				test(t, newPair(t, suites[i].id, client))
			})
		}
	}
}
