package wirehost_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

type netstringProto struct{ wirehost.NetstringReceiver }

func (p *netstringProto) StringReceived(s []byte) { noteString(&p.Base, s) }

func noteString(b *wirehost.Base, s []byte) {
	note(b, "string", s)
	if string(s) == "close" {
		_ = b.Transport.LoseConnection()
	}
}

func newNetstrings(most int) func() wirehost.Protocol {
	return func() wirehost.Protocol {
		p := &netstringProto{}
		p.MaxLength = most
		return p
	}
}

func TestNetstringReceiver(t *testing.T) {
	x := strings.Repeat
	for _, c := range []struct {
		name   string
		most   int
		input  string
		want   string
		closes bool
	}{
		{"strings", 0, "3:abc,0:,1:,,", "string<abc>string<>string<,>", false},
		{"partial", 0, "1:a,3:ab", "string<a>", false},
		{"partial length", 0, "1:a,12", "string<a>", false},
		{"default length", 0, "99999:" + x("x", 99999) + ",", "string<" + x("x", 99999) + ">", false},
		{"over the default", 0, "1:a,100000", "string<a>", true},
		{"longest", 12, "12:123456789012,", "string<123456789012>", false},
		{"over, before the colon", 12, "1:a,13", "string<a>", true},
		{"over by a digit", 12, "120", "", true},
		{"leading zero", 0, "1:a,01:a,", "string<a>", true},
		{"two zeros", 0, "00:,", "", true},
		{"non-digit", 0, "1:a,x", "string<a>", true},
		{"non-digit behind digits", 0, "1a:a,", "", true},
		{"space", 0, " 1:a,", "", true},
		{"sign", 0, "-1:a,", "", true},
		{"empty length", 0, ":,", "", true},
		{"missing comma", 0, "1:a,3:abcd", "string<a>", true},
		{"nothing after loseConnection", 0, "5:close,1:a,x", "string<close>", true},
		{"length past every integer", 0, x("9", 40), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := sdktest.ChunkLaw(t, starter(newNetstrings(c.most)), []byte(c.input)); r.Output != c.want ||
				r.Disconnecting != c.closes {
				t.Errorf("found %.300s\nwanted %.200q, closes %t", r, c.want, c.closes)
			}
		})
	}
}

// netstringModel is what a netstring receiver does, byte by byte.
func netstringModel(input string, most int) (transcript string, closes bool) {
	for input != "" {
		digits := 0
		size := 0
		for ; ; digits++ {
			if digits == len(input) {
				return transcript, false
			}
			b := input[digits]
			if b == ':' && digits > 0 {
				break
			}
			size = size*10 + int(b) - '0'
			if b < '0' || b > '9' || size > most || digits > 0 && input[0] == '0' {
				return transcript, true
			}
		}
		rest := input[digits+1:]
		if len(rest) <= size {
			return transcript, false
		}
		if rest[size] != ',' {
			return transcript, true
		}
		transcript += "string<" + rest[:size] + ">"
		if rest[:size] == "close" {
			return transcript, true
		}
		input = rest[size+1:]
	}
	return transcript, false
}

func FuzzNetstringReceiver(f *testing.F) {
	for _, s := range []string{"3:abc,0:,1:,,", "01:a,", "5:close,1:a,", "12:12", "99:", "1:ab"} {
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8) {
		want, closes := netstringModel(string(input), 15)
		for _, pieces := range cuts(input, int(cut)) {
			r := sdktest.Feed(t, starter(newNetstrings(15)), pieces...)
			if r.Output != want || r.Disconnecting != closes {
				t.Fatalf("%q: found %s\nwanted %q, closes %t", pieces, r, want, closes)
			}
		}
	})
}

type int8Proto struct{ wirehost.Int8StringReceiver }
type int16Proto struct{ wirehost.Int16StringReceiver }
type int32Proto struct{ wirehost.Int32StringReceiver }

func (p *int8Proto) StringReceived(s []byte)  { noteString(&p.Base, s) }
func (p *int16Proto) StringReceived(s []byte) { noteString(&p.Base, s) }
func (p *int32Proto) StringReceived(s []byte) { noteString(&p.Base, s) }

// LengthLimitExceeded says so to the peer.
func (p *int16Proto) LengthLimitExceeded(length uint32) {
	note(&p.Base, "limit", []byte(fmt.Sprint(length)))
}

func newIntN(size, most int) func() wirehost.Protocol {
	return func() wirehost.Protocol {
		switch size {
		case 1:
			p := &int8Proto{}
			p.MaxLength = most
			return p
		case 2:
			p := &int16Proto{}
			p.MaxLength = most
			return p
		}
		p := &int32Proto{}
		p.MaxLength = most
		return p
	}
}

func TestIntNStringReceiver(t *testing.T) {
	x := strings.Repeat
	for _, c := range []struct {
		name       string
		size, most int
		input      string
		want       string
		closes     bool
	}{
		{"8", 1, 0, "\x03abc\x00\x01a", "string<abc>string<>string<a>", false},
		{"8, full", 1, 0, "\xff" + x("x", 255) + "\x01a", "string<" + x("x", 255) + ">string<a>", false},
		{"8, partial", 1, 0, "\x01a\x03ab", "string<a>", false},
		{"8, over", 1, 3, "\x03abc\x04", "string<abc>", true},
		{"16", 2, 0, "\x00\x03abc\x00\x00\x00\x01a\x00", "string<abc>string<>string<a>", false},
		{"16, high byte", 2, 0, "\x01\x02" + x("x", 258), "string<" + x("x", 258) + ">", false},
		{"16, over, overridden", 2, 3, "\x00\x01a\x00\x04abcd\x00\x01b", "string<a>limit<4>", true},
		{"32", 4, 0, "\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00", "string<abc>string<>", false},
		{"32, over the default", 4, 0, "\x00\x00\x00\x00\x00\x01\x86\xa0", "string<>", true},
		{"32, far over", 4, 0, "\xff\xff\xff\xff", "", true},
		{"nothing after loseConnection", 1, 0, "\x05close\x01a", "string<close>", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sdktest.ChunkLaw(t, starter(newIntN(c.size, c.most)), []byte(c.input))
			if r.Output != c.want || r.Disconnecting != c.closes {
				t.Errorf("found %.300s\nwanted %.200q, closes %t", r, c.want, c.closes)
			}
		})
	}
}

// intNModel is what the receivers do to a whole input.
func intNModel(input []byte, size, most int) (transcript string, closes bool) {
	for len(input) >= size {
		var wide [8]byte
		copy(wide[8-size:], input[:size])
		n := binary.BigEndian.Uint64(wide[:])
		if n > uint64(most) {
			if size == 2 {
				transcript += fmt.Sprintf("limit<%d>", n)
			}
			return transcript, true
		}
		if uint64(len(input)-size) < n {
			break
		}
		s := string(input[size : size+int(n)])
		if transcript += "string<" + s + ">"; s == "close" {
			return transcript, true
		}
		input = input[size+int(n):]
	}
	return transcript, false
}

func FuzzIntNStringReceiver(f *testing.F) {
	f.Add([]byte("\x03abc\x00\x01a\x05close\x01b"), uint8(1), uint8(3))
	f.Add([]byte("\x00\x03abc\x00\x00\x00\x41a"), uint8(2), uint8(3))
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00\xff\xff\xff\xff"), uint8(4), uint8(3))
	f.Fuzz(func(t *testing.T, input []byte, kind, cut uint8) {
		size := []int{1, 2, 4}[kind%3]
		want, closes := intNModel(input, size, 40)
		for _, pieces := range cuts(input, int(cut)) {
			r := sdktest.Feed(t, starter(newIntN(size, 40)), pieces...)
			if r.Output != want || r.Disconnecting != closes {
				t.Fatalf("%q: found %s\nwanted %q, closes %t", pieces, r, want, closes)
			}
		}
	})
}

// What SendString writes is what the receiver of the same kind reads.
func TestSendString(t *testing.T) {
	for _, c := range []struct {
		size int // of the prefix; 0 is a netstring
		len  int
		err  error
	}{
		{0, 0, nil}, {0, 10, nil}, {0, 5000, nil},
		{1, 0, nil}, {1, 255, nil}, {1, 256, wirehost.ErrStringTooLong},
		{2, 256, nil}, {2, 65535, nil}, {2, 65536, wirehost.ErrStringTooLong},
		{4, 0, nil}, {4, 65536, nil},
	} {
		text := strings.Repeat("s", c.len)
		build := newNetstrings(0)
		if c.size > 0 {
			build = newIntN(c.size, 0)
		}
		var p wirehost.Protocol
		server, err := starter(func() wirehost.Protocol { p = build(); return p })()
		if err != nil {
			t.Fatal(err)
		}
		wire := server.Accept()
		sender := p.(interface {
			Reactor() *wirehost.Reactor
			SendString(s []byte) error
		})
		var sent error
		_, _ = sender.Reactor().CallLater(0, func() { sent = sender.SendString([]byte(text)) })
		server.Advance(0)
		want := "string<" + text + ">"
		if c.err != nil {
			want = ""
		}
		got := sdktest.Feed(t, starter(build), []byte(wire.Output()))
		if !errors.Is(sent, c.err) || got.Output != want {
			t.Errorf("prefix of %d, %d bytes: found error %v and %.40q on the wire, read as %.40q", c.size, c.len, sent,
				wire.Output(), got.Output)
		}
	}
}

type statefulProto struct {
	wirehost.StatefulProtocol
	left int
}

func (p *statefulProto) InitialState() (wirehost.StateFunc, int) { return p.header, 2 }

func (p *statefulProto) header(data []byte) (wirehost.StateFunc, int) {
	note(&p.Base, "header", data)
	if data[0] == '!' {
		_ = p.Transport.LoseConnection()
	}
	p.left = int(data[1] - '0')
	return p.body, p.left
}

func (p *statefulProto) body(data []byte) (wirehost.StateFunc, int) {
	note(&p.Base, "body", data)
	if len(data) == 3 && data[0] == '+' {
		return nil, 0 // the same again
	}
	return p.header, 2
}

func TestStatefulProtocol(t *testing.T) {
	for input, want := range map[string]string{
		"":              "",
		"a2xyb1z":       "header<a2>body<xy>header<b1>body<z>",
		"a0b1z":         "header<a0>body<>header<b1>body<z>",
		"a0":            "header<a0>body<>",
		"a3+xy+abxyzb1": "header<a3>body<+xy>body<+ab>body<xyz>header<b1>",
		"a1x!2abc":      "header<a1>body<x>header<!2>",
	} {
		r := sdktest.ChunkLaw(t, starter(func() wirehost.Protocol { return new(statefulProto) }), []byte(input))
		if r.Output != want {
			t.Errorf("%q: found %q, wanted %q", input, r.Output, want)
		}
	}
}

func FuzzStatefulProtocol(f *testing.F) {
	f.Add([]byte("a2xyb1za0!3+ab+cdxyz"), uint8(3))
	f.Fuzz(func(t *testing.T, input []byte, cut uint8) {
		for i := range input {
			input[i] = "0123+!ab"[input[i]&7]
		}
		start := starter(func() wirehost.Protocol { return new(statefulProto) })
		var whole sdktest.Result
		for i, pieces := range cuts(input, int(cut)) {
			r := sdktest.Feed(t, start, pieces...)
			if i == 0 {
				whole = r
			} else if r != whole {
				t.Fatalf("%q: found %s\nwanted %s", pieces, r, whole)
			}
		}
	})
}
