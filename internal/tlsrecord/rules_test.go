package tlsrecord

import (
	"bytes"
	"slices"
	"testing"
)

const (
	same = -2 // crypto/tls sends the alert that we do
	none = -1
)

// A rule is a stream, and how it ends. Where crypto/tls ends it in another way
// RATIONALE.md says why ours is better.
type rule struct {
	name    string
	put     func(s *script)
	end     string
	alert   int
	library int // its alert, or same
}

func times(n int, put func(s *script)) func(s *script) {
	return func(s *script) {
		for range n {
			put(s)
		}
	}
}

func empty(s *script)                          { s.put(applicationData) }
func data(s *script)                           { s.put(applicationData, pattern(9)...) }
func canceled(s *script)                       { s.put(alert, warning, userCanceled) }
func asking(s *script)                         { s.keyUpdate(1) }
func telling(s *script)                        { s.keyUpdate(0) }
func inner(b ...byte) func(s *script)          { return func(s *script) { s.inner(b) } }
func raw(b ...byte) func(s *script)            { return func(s *script) { s.raw(b) } }
func put(kind byte, b ...byte) func(s *script) { return func(s *script) { s.put(kind, b...) } }

func flat(parts ...func(s *script)) func(s *script) {
	return func(s *script) {
		for _, part := range parts {
			part(s)
		}
	}
}

func padded(content, padding int) func(s *script) {
	return inner(append(append(make([]byte, content), applicationData), make([]byte, padding)...)...)
}

func pieces(b []byte, size int) func(s *script) { return func(s *script) { s.pieces(b, size) } }

func cut(n int) func(s *script) {
	return func(s *script) { data(s); s.records[len(s.records)-1] = s.last()[:n] }
}

// inClear is a record that is not sealed, of a size.
func inClear(kind byte, size int) func(s *script) {
	return raw(append([]byte{kind, 3, 3, byte(size >> 8), byte(size)}, make([]byte, size)...)...)
}

var update = []byte{keyUpdate, 0, 0, 1, 0}

var rules = []rule{
	{"nothing", func(*script) {}, "open", none, same},
	{"data", data, "open", none, same},
	{"padding", flat(padded(1, 1), padded(4, 255), padded(0, 16384), padded(16384, 0), padded(1, 16383)),
		"open", none, same},
	{"nothing but padding", inner(0, 0, 0), "refused", unexpectedMessage, same},
	{"not even padding", inner(), "refused", unexpectedMessage, none},
	{"content too long", padded(16385, 0), "refused", recordOverflow, same},
	{"content too long by padding", padded(0, 16385), "refused", recordOverflow, same},
	{"content too long by padding, none else", inner(make([]byte, 16386)...), "refused", recordOverflow, same},
	{"longest record", padded(16385, 238), "refused", recordOverflow, same},
	{"record too long", raw(applicationData, 3, 3, 65, 1), "refused", recordOverflow, same},
	{"record far too long", raw(applicationData, 3, 3, 255, 255), "refused", recordOverflow, same},
	{"record of nothing", raw(applicationData, 3, 3, 0, 0), "refused", badRecordMAC, same},
	{"record of less than a tag", inClear(applicationData, 15), "refused", badRecordMAC, same},
	{"record of a tag", inClear(applicationData, 16), "refused", badRecordMAC, same},
	{"version 3.1", raw(applicationData, 3, 1, 0, 99), "refused", protocolVersion, same},
	{"version 3.4", raw(applicationData, 3, 4, 0, 99), "refused", protocolVersion, same},
	{"version 2.3", raw(applicationData, 2, 3, 0, 99), "refused", protocolVersion, same},
	{"type 0", inner(1, 2, 3, 0), "refused", unexpectedMessage, same},
	{"type 24", put(24, 1), "refused", unexpectedMessage, same},
	{"type 255", put(255), "refused", unexpectedMessage, same},
	{"sealed change_cipher_spec", put(changeCipherSpec, 1), "refused", unexpectedMessage, none},
	{"change_cipher_spec", raw(changeCipherSpec, 3, 3, 0, 1, 1), "refused", unexpectedMessage, none},
	{"change_cipher_spec of 2 bytes", raw(changeCipherSpec, 3, 3, 0, 2, 1, 1),
		"refused", unexpectedMessage, decodeError},
	{"alert in the clear", raw(alert, 3, 3, 0, 2, fatal, 40), "refused", unexpectedMessage, badRecordMAC},
	{"close_notify in the clear", raw(alert, 3, 3, 0, 2, warning, 0), "refused", unexpectedMessage, badRecordMAC},
	{"handshake in the clear", inClear(handshake, 200), "refused", unexpectedMessage, badRecordMAC},
	{"text in the clear", raw([]byte("GET / HTTP/1.1\r\n\r\n")...), "refused", protocolVersion, same},
	{"client hello", put(handshake, 1, 0, 0, 4, 3, 3, 0, 0), "refused", unexpectedMessage, decodeError},
	{"a client hello's first byte", put(handshake, 1), "refused", unexpectedMessage, none},
	{"hello request", put(handshake, 0, 0, 0, 0), "refused", unexpectedMessage, same},
	{"certificate request", put(handshake, 13, 0, 0, 3, 0, 0, 0), "refused", unexpectedMessage, same},
	{"finished", put(handshake, 20, 0, 0, 1, 0), "refused", unexpectedMessage, same},
	{"no such message", put(handshake, 99, 0, 0, 0), "refused", unexpectedMessage, same},
	{"empty handshake record", put(handshake), "refused", unexpectedMessage, same},
	{"close_notify", flat(data, put(alert, warning, closeNotify), data), "close_notify", none, same},
	{"close_notify as fatal", put(alert, fatal, closeNotify), "close_notify", none, same},
	{"rubbish after close_notify", flat(put(alert, warning, closeNotify), raw(1, 2, 3, 4, 5, 6)),
		"close_notify", none, same},
	{"alert", put(alert, fatal, 40), "alert", none, same},
	{"alert as a warning", put(alert, warning, 40), "alert", none, same},
	{"alert of no level", put(alert, 77, 200), "alert", none, same},
	{"alert of no byte", put(alert), "refused", unexpectedMessage, same},
	{"alert of 1 byte", put(alert, fatal), "refused", unexpectedMessage, same},
	{"two alerts in one", put(alert, warning, userCanceled, warning, closeNotify), "refused", unexpectedMessage, same},
	{"user_canceled, then close_notify", flat(canceled, put(alert, warning, closeNotify)), "close_notify", none, same},
	{"key updates", flat(telling, data, asking, data, asking, asking, data, telling), "open", none, same},
	{"a key update that says 2", put(handshake, keyUpdate, 0, 0, 1, 2), "refused", illegalParameter, decodeError},
	{"a key update of nothing", put(handshake, keyUpdate, 0, 0, 0), "refused", decodeError, same},
	{"a key update of 2 bytes", put(handshake, keyUpdate, 0, 0, 2, 0, 0), "refused", decodeError, same},
	{"a key update's length alone", put(handshake, keyUpdate, 0, 0, 2), "refused", decodeError, none},
	{"a key update of 16 MB", put(handshake, keyUpdate, 255, 255, 255), "refused", decodeError, internalError},
	{"a key update under the old key", put(handshake, keyUpdate, 0, 0, 1, 0), "open", none, same},
	{"data under the old key", flat(put(handshake, update...), data), "refused", badRecordMAC, same},
	{"two key updates in one record", put(handshake, append(update, update...)...), "refused", unexpectedMessage, same},
	{"a byte behind a key update", put(handshake, append(update, keyUpdate)...), "refused", unexpectedMessage, same},
	{"a key update in bytes", flat(pieces(update, 1), (*script).newKey, data), "open", none, same},
	{"a key update in two", flat(pieces(update, 4), (*script).newKey, data), "open", none, same},
	{"data within a key update", flat(put(handshake, update[:3]...), data), "refused", unexpectedMessage, same},
	{"nothing within a key update", flat(put(handshake, update[:3]...), empty), "refused", unexpectedMessage, same},
	{"an alert within a key update", flat(put(handshake, update[:3]...), canceled), "refused", unexpectedMessage, same},
	{"close_notify within a key update", flat(put(handshake, keyUpdate), put(alert, warning, closeNotify)),
		"refused", unexpectedMessage, same},
	{"a record that stops", cut(20), "open", none, same},
	{"a header that stops", cut(4), "open", none, same},
	{"a record that stops after one", flat(data, cut(26)), "open", none, same},
	{"empty records", times(maxUseless, empty), "open", none, same},
	{"too many empty records", times(maxUseless+1, empty), "refused", unexpectedMessage, same},
	{"empty records between data", times(9, flat(data, times(maxUseless, empty))), "open", none, same},
	{"padded empty records", times(maxUseless+1, padded(0, 9)), "refused", unexpectedMessage, same},
	{"user_canceled", times(maxUseless, canceled), "open", none, same},
	{"too many user_canceled", times(maxUseless+1, canceled), "refused", unexpectedMessage, same},
	{"key updates in a row", times(maxUseless, asking), "open", none, same},
	{"too many key updates", times(maxUseless+1, telling), "refused", unexpectedMessage, same},
	{"too much of all", flat(times(6, empty), times(5, telling), times(6, canceled)),
		"refused", unexpectedMessage, same},
}

// clientRules are of what only a server may send.
var clientRules = []rule{
	{"tickets", flat(put(handshake, ticket(1)...), put(handshake, ticket(4000)...), data), "open", none, same},
	{"two tickets in a record", flat(put(handshake, append(ticket(9), ticket(99)...)...), data), "open", none, same},
	{"a ticket in bytes", flat(pieces(ticket(40), 1), data), "open", none, same},
	{"a ticket that is long", flat(pieces(ticket(65000), 16384), data), "open", none, same},
	{"a ticket with a key update", flat(put(handshake, append(ticket(9), update...)...), (*script).newKey, data),
		"open", none, same},
	{"a key update with a ticket", put(handshake, append(update, ticket(9)...)...), "refused", unexpectedMessage, same},
	{"a ticket with half a key update",
		flat(put(handshake, append(ticket(9), update[:2]...)...), put(handshake, update[2:]...),
			(*script).newKey, data),
		"open", none, same},
	{"data within a ticket", flat(put(handshake, ticket(9)[:20]...), data), "refused", unexpectedMessage, same},
	{"an alert within a ticket", flat(put(handshake, ticket(9)[:20]...), canceled),
		"refused", unexpectedMessage, same},
	{"data within a ticket's head", flat(put(handshake, 4, 0), data), "refused", unexpectedMessage, same},
	{"a ticket of 12 bytes", put(handshake, append([]byte{4, 0, 0, 12}, make([]byte, 12)...)...),
		"refused", decodeError, same},
	{"a ticket over 65536", put(handshake, 4, 1, 0, 1), "refused", internalError, same},
	{"a ticket of 16 MB", put(handshake, 4, 255, 255, 255), "refused", internalError, same},
	{"too many tickets", times(maxUseless+1, put(handshake, ticket(9)...)), "refused", unexpectedMessage, same},
}

var serverRules = []rule{
	{"a ticket from a client", put(handshake, ticket(9)...), "refused", unexpectedMessage, same},
	{"a ticket's first byte", put(handshake, 4), "refused", unexpectedMessage, none},
}

// TestRules holds both layers against the rules.
func TestRules(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair) {
		all := append(slices.Clone(rules), serverRules...)
		if p.client {
			all = append(slices.Clone(rules), clientRules...)
		}
		for _, r := range all {
			s := p.script(t)
			r.put(s)
			ours, library := p.both(t, s)
			if ours.end != r.end || ours.alert != r.alert {
				t.Errorf("%s: %v, wanted %s and alert %d", r.name, ours, r.end, r.alert)
			}
			want := ours
			if r.library != same {
				want.alert = r.library
			} else if library.String() != ours.String() || !bytes.Equal(library.data, ours.data) {
				t.Errorf("%s: ours %v; crypto/tls %v", r.name, ours, library)
			}
			if library.alert != want.alert {
				t.Errorf("%s: crypto/tls sends alert %d, it sent %d", r.name, library.alert, want.alert)
			}
		}
	})
}
