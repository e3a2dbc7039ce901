package wirenet

import (
	"bytes"
	"net/netip"
	"testing"
)

// The bytes are those of abi/ABI.md.
func TestRecord(t *testing.T) {
	six := netip.MustParseAddr("fe80::1%7").As16()
	for _, c := range []struct {
		to      string
		payload string
		want    []byte
	}{
		{"192.0.2.1:53", "hello", []byte("\x05\x00\x00\x00\x35\x00\x04\x00\xc0\x00\x02\x01" +
			string(make([]byte, 20)) + "hello\x00\x00\x00")},
		{"[fe80::1%7]:258", "12345678", []byte("\x08\x00\x00\x00\x02\x01\x06\x00" + string(six[:]) +
			"\x07\x00\x00\x00\x00\x00\x00\x00" + "12345678")},
		{"", "", make([]byte, 32)},
	} {
		to, _ := netip.ParseAddrPort(c.to) // "": the connected peer
		got := appendRecord(nil, to, []byte(c.payload))
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: found %q\nwanted %q", c.to, got, c.want)
		}
		from, payload, rest := readRecord(append(got, "behind"...))
		if from != to || string(payload) != c.payload || string(rest) != "behind" {
			t.Errorf("%s: read %v, %q, %q", c.to, from, payload, rest)
		}
		end := recordHeader + len(c.payload) // where a buffer whose size is no multiple of 8 ends
		if _, payload, rest = readRecord(got[:end:end]); string(payload) != c.payload || len(rest) > 0 {
			t.Errorf("%s, with no padding: read %q, %q", c.to, payload, rest)
		}
	}
}
