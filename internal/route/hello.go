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

// parseHello reads the ClientHello that b begins with, in any number of records. no says
// that it begins with something else; more, that it is not complete.
func parseHello(b []byte, most int) (hello, verdict) {
	message, v := joinRecords(b, most)
	if v != yes {
		return hello{}, v
	}
	h, ok := readHello(message)
	if !ok {
		return hello{}, no
	}
	return h, yes
}

// joinRecords is the handshake message that b begins with, if it is complete. One that takes
// more than most bytes with its records is none.
func joinRecords(b []byte, most int) (message []byte, v verdict) {
	size := messageHeader // of the message, as far as it is known
	have, records := 0, 0
	for rest := b; have < size; records++ {
		if len(rest) > 0 && rest[0] != recordHandshake || len(rest) > 1 && rest[1] != 3 {
			return nil, no
		}
		if len(rest) < recordHeader {
			return nil, more
		}
		n := int(rest[3])<<8 | int(rest[4])
		if n == 0 || n > recordMost {
			return nil, no
		}
		part := rest[recordHeader:min(len(rest), recordHeader+n)]
		for i := 0; i < len(part) && have+i < messageHeader; i++ { // it may be in several records, too
			switch at := have + i; at {
			case 0:
				if part[i] != messageHello {
					return nil, no
				}
			default:
				size += int(part[i]) << (8 * (messageHeader - 1 - at))
			}
		}
		if size > most {
			return nil, no
		}
		have += len(part)
		if len(part) < n {
			if have < size || have < messageHeader {
				return nil, more
			}
		}
		rest = rest[recordHeader+len(part):]
	}
	if records == 1 {
		return b[recordHeader : recordHeader+size], yes
	}
	message = make([]byte, 0, have)
	for rest := b; len(message) < size; {
		n := min(len(rest)-recordHeader, int(rest[3])<<8|int(rest[4]))
		message = append(message, rest[recordHeader:recordHeader+n]...)
		rest = rest[recordHeader+n:]
	}
	return message[:size], yes
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
