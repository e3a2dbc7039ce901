package tlsrecord

import (
	"errors"
	"slices"
	"testing"
)

// TestEachByteWrong changes each byte of a record, tag and header with it:
// nothing is opened, and crypto/tls agrees.
func TestEachByteWrong(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		right := p.script(t)
		right.put(applicationData, pattern(40)...)
		for at := range right.last() {
			for _, change := range []byte{1, 0x80, 0xff} {
				s := p.script(t)
				s.put(applicationData, pattern(40)...)
				s.put(applicationData, pattern(40)...) // for a length that has become longer
				s.records[0][at] ^= change
				ours, library := p.both(t, s)
				if len(ours.data) > 0 {
					t.Fatalf("byte %d: %d bytes were opened", at, len(ours.data))
				}
				if bad := disagree(ours, library); bad != "" {
					t.Errorf("byte %d changed by %#x: %s", at, change, bad)
				}
				if want := wrongAt(at); ours.alert != want && want != same {
					t.Errorf("byte %d changed by %#x: %v, wanted alert %d", at, change, ours, want)
				}
			}
		}
	})
}

// wrongAt is the alert for a byte of a record that is wrong.
func wrongAt(at int) int {
	switch at {
	case 0:
		return unexpectedMessage
	case 1, 2:
		return protocolVersion
	case 3, 4: // a length: another record, none that is allowed, or one that is not there yet
		return same
	}
	return badRecordMAC
}

// TestOrder gives whole records at a wrong place: each once more, two in the
// other order, one that is missing, one of the other direction.
func TestOrder(t *testing.T) {
	orders := map[string]func(r [][]byte) [][]byte{
		"replayed at once": func(r [][]byte) [][]byte { return slices.Insert(r, 1, slices.Clone(r[0])) },
		"replayed later":   func(r [][]byte) [][]byte { return append(r, slices.Clone(r[0])) },
		"swapped":          func(r [][]byte) [][]byte { r[0], r[1] = r[1], r[0]; return r },
		"missing":          func(r [][]byte) [][]byte { return slices.Delete(r, 1, 2) },
		"of the last key":  func(r [][]byte) [][]byte { return slices.Insert(r, 4, slices.Clone(r[0])) },
		"update replayed":  func(r [][]byte) [][]byte { return slices.Insert(r, 4, slices.Clone(r[3])) },
		"update missing":   func(r [][]byte) [][]byte { return slices.Delete(r, 3, 4) },
	}
	eachPair(t, func(t *testing.T, p *pair) {
		for name, order := range orders {
			s := p.script(t)
			flat(data, data, data, asking, data, data)(s)
			s.records = order(s.records)
			ours, library := p.both(t, s)
			if ours.alert != badRecordMAC {
				t.Errorf("%s: %v", name, ours)
			}
			if bad := disagree(ours, library); bad != "" {
				t.Errorf("%s: %s", name, bad)
			}
		}
		c, err := New(p.state)
		if err != nil {
			t.Fatal(err)
		}
		back := c.Seal(nil, []byte("to the peer, and back again"))
		if _, err := c.Open(nil, back); alertOf(err) != badRecordMAC {
			t.Errorf("a record of its own is opened with %v", err)
		}
	})
}

func alertOf(err error) int {
	if e := (*Error)(nil); errors.As(err, &e) && !e.Remote {
		return int(e.Alert)
	}
	return none
}

// TestErrorsStay has a Conn that has refused something: nothing is opened any
// more, nothing is sealed but one alert.
func TestErrorsStay(t *testing.T) {
	p := newPair(t, suites[0].id, false)
	for _, r := range rules {
		if r.end == "open" || r.end == "close_notify" {
			continue
		}
		s := p.script(t)
		r.put(s)
		c, err := New(p.state)
		if err != nil {
			t.Fatal(err)
		}
		first := openAll(c, s.stream())
		for range 3 {
			if err := openAll(c, s.stream()); !errors.Is(err, first) || err == nil {
				t.Errorf("%s: %v, and then %v", r.name, first, err)
			}
		}
		if n := c.SealedLen(100); n != 0 {
			t.Errorf("%s: %d bytes would be sealed", r.name, n)
		}
		if b := c.CloseNotify(c.Answer(c.Seal(nil, []byte("x")))); len(b) > 0 {
			t.Errorf("%s: %d bytes are sent after it", r.name, len(b))
		}
		want := Overhead + 2
		if r.end == "alert" {
			want = 0
		}
		if b := c.Alert(c.Alert(nil, first), first); len(b) != want {
			t.Errorf("%s: alerts of %d bytes, wanted %d", r.name, len(b), want)
		}
	}
}

func openAll(c *Conn, stream []byte) error {
	stream = slices.Clone(stream)
	for {
		n, err := c.Next(stream)
		if err != nil || n == 0 || n > len(stream) {
			return err
		}
		if _, err := c.Open(nil, stream[:n]); err != nil {
			return err
		}
		stream = stream[n:]
	}
}

// TestStopped has a peer that stops anywhere in a record.
func TestStopped(t *testing.T) {
	p := newPair(t, suites[0].id, false)
	s := p.script(t)
	data(s)
	record := s.last()
	c, err := New(p.state)
	if err != nil {
		t.Fatal(err)
	}
	for n := range record {
		want := len(record)
		if n < headerSize {
			want = 0
		}
		if got, err := c.Next(record[:n]); got != want || err != nil {
			t.Errorf("of %d bytes a record has %d, %v; wanted %d", n, got, err, want)
		}
	}
	if plain, err := c.Open(nil, record); len(plain) != 9 || err != nil {
		t.Errorf("the record is opened as %d bytes, %v", len(plain), err)
	}
	if _, err := c.Open(nil, record[:20]); alertOf(err) != internalError {
		t.Errorf("a part of a record is opened with %v", err)
	}
}
