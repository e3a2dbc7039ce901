package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	name := strings.Repeat("n", 255)
	for _, c := range []struct {
		bytes    string
		endpoint string // of the request
		why      reply
	}{
		{"\x04\x01\x00\x50\x01\x02\x03\x04ann\x00", "tcp://1.2.3.4:80", granted},
		{"\x04\x01\x00\x50\x00\x00\x00\x01\x00h.example\x00", "tcp://h.example:80", granted},
		{"\x04\x01\x00\x50\x00\x00\x00\x00\x00", "tcp://0.0.0.0:80", granted}, // not 4a
		{"\x04\x01\x00\x50\x00\x00\x00\x01" + name + "\x00" + name + "\x00", "tcp://" + name + ":80", granted},
		{"\x04\x01\x00\x50\x00\x00\x00\x01" + name + "x", "", failed},
		{"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + name + "x\x00", "", failed},
		{"\x04\x01\x00\x50\x00\x00\x00\x01\x00a b\x00", "", granted},
		{"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50", "tcp://1.2.3.4:80", granted},
		{"\x05\x01\x00\x03\x01h\xff\xff", "tcp://h:65535", granted},
		{"\x05\x01\x00\x03\x091.2.3.4.5\x00\x01", "tcp://1.2.3.4.5:1", granted}, // a name, if a strange one
		{"\x05\x01\x00\x03\x03::1\x00\x01", "tcp://[::1]:1", granted},
		{"\x05\x01\x00\x03\x05::1%a\x00\x01", "", granted},
		{"\x05\x01\x00\x03\x03a:b\x00\x01", "", granted},
		{"\x05\x01\x00\x03\x00\x00\x50", "", granted},
		{"\x05\x01\x00\x03\xff" + name + "\x00\x50", "tcp://" + name + ":80", granted},
		{"\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x50", "tcp://[::1]:80", granted},
		{"\x05\x01\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04\x00\x50", "tcp://1.2.3.4:80",
			granted},
		{"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x00", "", granted},
		{"\x05\x01\x00\x02\x01", "", noAddress},
		{"\x06", "", failed},
	} {
		parse := parse5
		if c.bytes[0] == 4 {
			parse = parse4
		}
		r, n, why := parse([]byte(c.bytes + "GET /"))
		if why != c.why || why == granted && n != len(c.bytes) || r.endpoint() != c.endpoint {
			t.Errorf("%q: found %q, %d bytes, %d, wanted %q, %d, %d", c.bytes, r.endpoint(), n, why, c.endpoint,
				len(c.bytes), c.why)
		}
		if c.why != granted {
			continue
		}
		for i := range c.bytes {
			if _, n, why := parse([]byte(c.bytes[:i])); n != 0 || why != granted {
				t.Errorf("%q: found %d bytes, %d, wanted more to be asked for", c.bytes[:i], n, why)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	for want, found := range map[string][]byte{
		"\x00\x5a\x00\x00\x00\x00\x00\x00": answer4(granted, netip.AddrPort{}),
		"\x00\x5b\x00\x00\x00\x00\x00\x00": answer4(refused, netip.AddrPort{}),
		"\x05\x00\x00\x01\x01\x02\x03\x04\x12\x34": answer5(granted,
			netip.MustParseAddrPort("1.2.3.4:4660")),
		"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00": answer5(refused, netip.AddrPort{}),
		"\x05\x00\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x12\x34": answer5(granted,
			netip.MustParseAddrPort("[::1]:4660")),
	} {
		if string(found) != want {
			t.Errorf("found %q, wanted %q", found, want)
		}
	}
}

// FuzzParse: no parser takes more than there is, and what it makes of it is an
// endpoint and nothing else.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x04\x01\x00\x50\x00\x00\x00\x01\x00h.example\x00"))
	f.Add([]byte("\x05\x01\x00\x03\x01h\xff\xff"))
	f.Add([]byte("\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"))
	f.Add([]byte("\x05\x02\x00\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, n := parseMethods(b); n > len(b) {
			t.Errorf("methods take %d bytes of %d", n, len(b))
		}
		for _, parse := range []func([]byte) (request, int, reply){parse4, parse5} {
			r, n, why := parse(b)
			if n < 0 || n > len(b) || n > 8+2*(longest+1) {
				t.Errorf("found %d bytes of %d", n, len(b))
			}
			if n == 0 && why == granted && len(b) > 8+2*(longest+1) {
				t.Errorf("%d bytes are no request, and not refused", len(b))
			}
			rest, ok := strings.CutPrefix(r.endpoint(), "tcp://")
			if ok && (strings.ContainsAny(rest, "/?#@*% \x00") || strings.LastIndexByte(rest, ':') < 1) {
				t.Errorf("found endpoint %q", r.endpoint())
			}
		}
	})
}
