package route

import (
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// hello is what a client of TLS asks for in its ClientHello.
type hello struct {
	serverName string   // in lower case, without a dot at its end; "" = none
	protocols  []string // of ALPN
}

// verdict is what can be said of what has come so far.
type verdict uint8

const (
	no   verdict = iota
	more         // it depends on what comes
	yes
)

const (
	recordHandshake   = 22
	recordHeader      = 5
	recordMost        = 1 << 14 // bytes of a record in plain text (RFC 8446, 5.1)
	messageHello      = 1
	messageHeader     = 4
	extensionName     = 0  // server_name (RFC 6066, 3)
	extensionProtocol = 16 // application_layer_protocol_negotiation (RFC 7301, 3.1)
)

// records are those of a ClientHello that are whole, of what has come so far.
type records struct {
	n    int // how many
	at   int // where they end
	have int // bytes of the message in them
	size int // of the message, as far as they say
}

// parseHello reads the ClientHello that b begins with, in any number of records. no says
// that it begins with something else; more, that it is not complete: then b is to be longer
// the next time.
func (r *records) parseHello(b []byte, most int) (hello, verdict) {
	message, v := r.join(b, most)
	if v != yes {
		return hello{}, v
	}
	h, ok := readHello(message)
	if !ok {
		return hello{}, no
	}
	return h, yes
}

// join is the handshake message that b begins with, if it is complete. One that takes more
// than most bytes with its records is none.
func (r *records) join(b []byte, most int) (message []byte, v verdict) {
	for r.have < messageHeader+r.size {
		part, n, v := nextRecord(b[r.at:])
		if v != yes {
			return nil, v
		}
		have, size, ok := r.have, r.size, true
		for i := 0; i < len(part) && have+i < messageHeader; i++ { // it may be in several records, too
			if have+i == 0 {
				ok = part[i] == messageHello
			} else {
				size += int(part[i]) << (8 * (messageHeader - 1 - have - i))
			}
		}
		have += len(part)
		switch whole := have >= messageHeader+size; {
		case !ok, messageHeader+size > most:
			return nil, no
		case len(part) < n && !whole:
			return nil, more
		}
		r.n, r.at, r.have, r.size = r.n+1, r.at+recordHeader+len(part), have, size
	}
	return r.message(b), yes
}

// nextRecord is what has come of the record that b begins with, and how many bytes it has.
func nextRecord(b []byte) (part []byte, n int, v verdict) {
	if len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
		return nil, 0, no
	}
	if len(b) < recordHeader {
		return nil, 0, more
	}
	n = int(b[3])<<8 | int(b[4])
	if n == 0 || n > recordMost {
		return nil, 0, no
	}
	return b[recordHeader:min(len(b), recordHeader+n)], n, yes
}

// message is the whole one of b's records.
func (r *records) message(b []byte) []byte {
	size := messageHeader + r.size
	if r.n == 1 {
		return b[recordHeader : recordHeader+size]
	}
	message := make([]byte, 0, r.have)
	for rest := b; len(message) < size; {
		part, _, _ := nextRecord(rest)
		message = append(message, part...)
		rest = rest[recordHeader+len(part):]
	}
	return message[:size]
}

// readHello reads a ClientHello (RFC 8446, 4.1.2).
func readHello(message []byte) (h hello, ok bool) {
	s := cryptobyte.String(message)
	var body, skipped, extensions cryptobyte.String
	if !s.Skip(1) || !s.ReadUint24LengthPrefixed(&body) ||
		!body.Skip(2+32) || // version, random
		!body.ReadUint8LengthPrefixed(&skipped) || // session
		!body.ReadUint16LengthPrefixed(&skipped) || // cipher suites
		!body.ReadUint8LengthPrefixed(&skipped) { // compression
		return h, false
	}
	if body.Empty() {
		return h, true
	}
	if !body.ReadUint16LengthPrefixed(&extensions) || !body.Empty() {
		return h, false
	}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return h, false
		}
		switch kind {
		case extensionName:
			ok = readName(data, &h)
		case extensionProtocol:
			ok = readProtocols(data, &h)
		default:
			ok = true
		}
		if !ok {
			return h, false
		}
	}
	return h, true
}

func readName(data cryptobyte.String, h *hello) bool {
	var names cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&names) || names.Empty() || !data.Empty() {
		return false
	}
	for !names.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !names.ReadUint8(&kind) || !names.ReadUint16LengthPrefixed(&name) || name.Empty() {
			return false
		}
		if kind == 0 && h.serverName == "" {
			h.serverName = plainName(string(name))
		}
	}
	return true
}

func readProtocols(data cryptobyte.String, h *hello) bool {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || list.Empty() || !data.Empty() {
		return false
	}
	for !list.Empty() {
		var p cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&p) || p.Empty() {
			return false
		}
		h.protocols = append(h.protocols, string(p))
	}
	return true
}

// plainName is a host's name as names are compared.
func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
