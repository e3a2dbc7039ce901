package tlsrecord

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// disagree says where the layers differ in a way that RATIONALE.md has no
// reason for. We may refuse more, and sooner, and never take what crypto/tls
// refuses.
func disagree(ours, library outcome) string {
	alike := bytes.Equal(ours.data, library.data)
	if ours.end == library.end && ours.alert == library.alert && alike && ours.answers == library.answers {
		return ""
	}
	starts := func(of string) bool { return strings.HasPrefix(ours.why, of) }
	switch further := bytes.HasPrefix(library.data, ours.data); {
	case further && ours.alert == unexpectedMessage && (strings.Contains(ours.why, " in the clear, ") ||
		starts("a record with nothing but padding") || starts("a sealed record of type 20")):
		return ""
	case alike && ours.alert == unexpectedMessage && starts("a handshake message of type"),
		alike && ours.alert == unexpectedMessage && starts("a session ticket, and"), // the library waits for its end
		alike && ours.alert == decodeError && starts("a key update of"),
		alike && ours.alert == unexpectedMessage && strings.Contains(ours.why, " bytes behind a key update"),
		alike && ours.alert == decodeError && starts("a session ticket's message of"),
		alike && ours.alert == illegalParameter && library.alert == decodeError:
		return ""
	}
	return fmt.Sprintf("ours %v (%s); crypto/tls %v", ours, ours.why, library)
}

// A reader takes bytes of a fuzzer's.
type reader struct{ b []byte }

func (r *reader) next() int {
	if len(r.b) == 0 {
		return 0
	}
	n := r.b[0]
	r.b = r.b[1:]
	return int(n)
}

func (r *reader) take(n int) []byte {
	n = min(n, len(r.b))
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// size is a small one, or one around the largest.
func (r *reader) size() int {
	n := r.next()
	if n > 240 {
		return MaxPlain - 250 + n
	}
	return n
}

// steps are what a fuzzer's stream is made of.
var steps = []func(s *script, r *reader, client bool){
	func(s *script, r *reader, _ bool) { s.put(applicationData, pattern(r.size())...) },
	func(s *script, r *reader, _ bool) { padded(r.size(), r.next()*r.next()/4)(s) },
	func(s *script, r *reader, _ bool) { s.put(byte(r.next()), pattern(r.next())...) },
	func(s *script, r *reader, _ bool) { s.put(alert, byte(r.next()), byte(r.next())) },
	func(s *script, r *reader, _ bool) { s.keyUpdate(byte(r.next()) % 3) },
	func(s *script, r *reader, client bool) {
		b := r.take(r.next() % 64)
		if client && len(b) > 0 && b[0] == newSessionTicket {
			b = ticket(len(b)) // what is in one is not looked at by us
		}
		s.put(handshake, b...)
	},
	func(s *script, r *reader, _ bool) {
		b := ticket(r.next() * r.next())
		if r.next()%2 == 1 {
			b = append(b, update...)
			defer s.newKey()
		}
		s.pieces(b, 1+len(b)/64+r.next()*64)
	},
	func(s *script, r *reader, _ bool) { s.pieces(update, 1+r.next()%5); s.newKey() },
	func(s *script, r *reader, _ bool) {
		if n := len(s.records); n > 0 {
			b := s.last()
			if len(b) == 0 {
				return
			}
			b[(r.next()<<8|r.next())%len(b)] ^= byte(r.next())
		}
	},
	func(s *script, r *reader, _ bool) {
		if n := len(s.records); n > 0 {
			s.raw(slices.Clone(s.records[n-1-r.next()%n]))
		}
	},
	func(s *script, _ *reader, _ bool) {
		if n := len(s.records); n > 0 {
			s.records = s.records[:n-1]
		}
	},
	func(s *script, r *reader, _ bool) { s.raw(slices.Clone(r.take(r.next()))) },
	func(s *script, r *reader, _ bool) {
		if n := len(s.records); n > 0 {
			b := s.last()
			s.records[n-1] = b[:max(0, len(b)-r.next())]
		}
	},
	func(s *script, _ *reader, _ bool) {
		if n := len(s.records); n > 1 {
			s.records[n-1], s.records[n-2] = s.records[n-2], s.records[n-1]
		}
	},
	func(s *script, r *reader, _ bool) { s.inner(slices.Clone(r.take(r.next()))) },
	func(s *script, r *reader, _ bool) { times(r.next()%20, empty)(s) },
}

// FuzzBothLayers makes a stream and holds what our layer does with it against
// what crypto/tls does.
func FuzzBothLayers(f *testing.F) {
	var pairs []*pair
	for i := range suites {
		pairs = append(pairs, newPair(f, suites[i].id, false), newPair(f, suites[i].id, true))
	}
	f.Add(byte(0), []byte{0, 9, 1, 250, 3, 1, 4, 1, 0, 9, 15, 16, 0, 1, 3, 1, 0})
	f.Add(byte(1), []byte{6, 20, 20, 1, 0, 0, 9, 7, 0, 0, 9, 5, 8, 24, 0, 0, 1, 2})
	f.Add(byte(2), []byte{0, 250, 8, 1, 7, 5, 0, 9})
	f.Add(byte(3), []byte{0, 1, 0, 2, 13, 0, 3})
	f.Add(byte(4), []byte{0, 1, 0, 2, 9, 0, 14, 0, 11, 9, 23, 3, 3, 0, 1})
	f.Add(byte(5), []byte{15, 17})
	f.Add(byte('a'), []byte("\x06\x14\x80\xff\x00\x00\t\a\x00\x00\t\x05\b\x18\x00\x00\x01\x01\x00"))
	f.Add(byte(1), []byte{5, 4, 4, 0, 0, 12, 0, 9})
	f.Add(byte(0), []byte{12, 1, 0, 9, 12, 8, 2, 20, 1, 10, 0, 9})
	f.Add(byte(251), []byte("\xff"+strings.Repeat("8", 17)+strings.Repeat("F", 5)+strings.Repeat("8", 144)+
		"<"+strings.Repeat("8", 15)))
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		p := pairs[int(which)%len(pairs)]
		s := p.script(t)
		r := &reader{b}
		for n := 0; len(r.b) > 0 && n < 200; n++ {
			steps[r.next()%len(steps)](s, r, p.client)
		}
		ours, library := p.both(t, s)
		if bad := disagree(ours, library); bad != "" {
			t.Error(bad)
		}
	})
}

// FuzzOpen gives bytes to the reader, as they are and as what was in records:
// it never panics, never gives more than was sealed, and stays with its error.
func FuzzOpen(f *testing.F) {
	p := newPair(f, suites[0].id, false)
	q := newPair(f, suites[2].id, true)
	f.Add(false, []byte("\x17\x03\x03\x00\x10"), []byte("data\x17\x00"))
	f.Add(true, []byte(""), []byte("\x18\x00\x00\x01\x01\x16"))
	f.Add(true, []byte("\x04\x00"), append(ticket(20), handshake))
	f.Add(false, []byte("\x16\x03\x03\x00\x01\x01"), []byte("\x01\x00\x15"))
	f.Fuzz(func(t *testing.T, client bool, plain, inner []byte) {
		p := p
		if client {
			p = q
		}
		s := p.script(t)
		s.inner(inner)
		s.inner(append(slices.Clone(plain), handshake))
		s.raw(plain)
		c, err := New(p.state)
		if err != nil {
			t.Fatal(err)
		}
		into := make([]byte, 0, 64)
		rest := s.stream()
		for {
			n, err := c.Next(rest)
			if err == nil && (n == 0 || n > len(rest)) {
				return
			}
			var got []byte
			if err == nil {
				got, err = c.Open(into, rest[:n])
			}
			if err == nil && len(got) > max(len(inner), len(plain)) {
				t.Fatalf("%d bytes were opened", len(got))
			}
			if err != nil {
				if again, err2 := c.Next(rest); again != 0 || !errors.Is(err2, err) {
					t.Fatalf("%v, and then %v", err, err2)
				}
				if a := c.Alert(nil, err); len(a) > 0 == (errors.Is(err, io.EOF) || alertOf(err) == none) {
					t.Fatalf("an alert of %d bytes for %v", len(a), err)
				}
				return
			}
			rest = rest[n:]
		}
	})
}
