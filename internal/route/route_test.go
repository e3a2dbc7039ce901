package route

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

const most = 16 << 10

// clientHello is what crypto/tls's client begins with.
func clientHello(t testing.TB, name string, protocols ...string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go tls.Client(theirs, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}).Handshake()
	b := make([]byte, most)
	if err := ours.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// inRecords cuts a ClientHello into records of n bytes each.
func inRecords(b []byte, n int) (out []byte) {
	for rest := b[recordHeader:]; len(rest) > 0; {
		k := min(n, len(rest))
		out = append(append(out, b[0], b[1], b[2], byte(k>>8), byte(k)), rest[:k]...)
		rest = rest[k:]
	}
	return out
}

func TestHello(t *testing.T) {
	plain := clientHello(t, "Example.COM", "h2", "http/1.1")
	want := hello{"example.com", []string{"h2", "http/1.1"}}
	for _, n := range []int{len(plain), 100, 7, 3, 1} {
		b := inRecords(plain, n)
		if n == len(plain) {
			b = append(b, "behind it"...)
		}
		whole := len(b)
		if n == len(plain) {
			whole = len(plain)
		}
		for k := range len(b) + 1 {
			h, v := new(records).parseHello(b[:k], most)
			if k < whole && v != more {
				t.Fatalf("records of %d, %d bytes of %d: found %v, wanted more", n, k, whole, v)
			}
			if k >= whole && (v != yes || !reflect.DeepEqual(h, want)) {
				t.Fatalf("records of %d, all: found %v, %+v, wanted %+v", n, v, h, want)
			}
		}
	}
	if h, v := new(records).parseHello(clientHello(t, ""), most); v != yes || h.serverName != "" || h.protocols != nil {
		t.Errorf("no name: found %v, %+v", v, h)
	}
	large := append([]byte{}, plain...)
	large[6] = 1 // 64 KiB more
	if _, v := new(records).parseHello(large, most); v != no {
		t.Errorf("too large: found %v, wanted no", v)
	}
	for _, text := range []string{"GET / HTTP/1.1\r\n", "\x16\x02", "\x16\x03\x01\x00\x00", "\x16\x03\x01\xff\xff",
		"\x16\x03\x01\x00\x04\x02", "\x15\x03", "\x16\x03\x01\x00\x04\x01\x00\x00\x00"} {
		if _, v := new(records).parseHello([]byte(text), most); v != no {
			t.Errorf("%q: found %v, wanted no", text, v)
		}
	}
}

func TestFind(t *testing.T) {
	tlsBytes := string(clientHello(t, "a.example.com", "h2"))
	for _, c := range []struct {
		name string
		m    Matchers
		text string
		at   int // from how many bytes on it is decided
		want bool
	}{
		{"prefix", Matchers{Prefix: []string{"SSH-", "HELO"}}, "SSH-2.0-x", 4, true},
		{"prefix, other", Matchers{Prefix: []string{"SSH-"}}, "SIP/2.0", 2, false},
		{"prefix, one of two", Matchers{Prefix: []string{"PI", "PING"}}, "PINT", 2, true},
		{"prefix, hex", Matchers{Prefix: []string{"hex:16 03"}}, "\x16\x03\x01", 2, true},
		{"regexp", Matchers{Regexp: []string{"^(GET|POST) "}}, "GET / HTTP/1.1", 4, true},
		{"regexp, other", Matchers{Regexp: []string{"^(GET|POST) "}}, "SSH-2.0-x", 3, false},
		{"regexp, at the end", Matchers{Regexp: []string{"^PING$"}}, "PING", 5, true},
		{"regexp, at the end, other", Matchers{Regexp: []string{"^PING$"}}, "PINGS\r\n", 6, false},
		{"regexp, anywhere", Matchers{Regexp: []string{`(?i)\r\nhost: b\r\n`}}, "GET /\r\nHost: b\r\n\r\n", 16, true},
		{"sni", Matchers{SNI: []string{"A.example.com."}}, tlsBytes, len(tlsBytes), true},
		{"sni, below", Matchers{SNI: []string{"*.example.com"}}, tlsBytes, len(tlsBytes), true},
		{"sni, any", Matchers{SNI: []string{"*"}}, tlsBytes, len(tlsBytes), true},
		{"sni, other", Matchers{SNI: []string{"example.com", "b.example.com"}}, tlsBytes, len(tlsBytes), false},
		{"sni, no TLS", Matchers{SNI: []string{"*"}}, "GET / HTTP/1.1", 1, false},
		{"alpn", Matchers{ALPN: []string{"http/1.1", "h2"}}, tlsBytes, len(tlsBytes), true},
		{"alpn, other", Matchers{ALPN: []string{"http/1.1"}}, tlsBytes, len(tlsBytes), false},
		{"sni and alpn", Matchers{SNI: []string{"*"}, ALPN: []string{"h3"}}, tlsBytes, len(tlsBytes), false},
		{"source", Matchers{Source: []string{"192.0.2.0/24"}}, "x", 0, true},
		{"source, an address", Matchers{Source: []string{"192.0.2.1"}}, "x", 0, true},
		{"source, other", Matchers{Source: []string{"198.51.100.0/24", "::/0"}, Prefix: []string{"x"}}, "x", 0, false},
		{"source and prefix", Matchers{Source: []string{"0.0.0.0/0"}, Prefix: []string{"xy"}}, "xy", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New([]Matchers{c.m}, most)
			if err != nil {
				t.Fatal(err)
			}
			for n := range len(c.text) + 1 {
				h := Head{Peer: netip.MustParseAddr("::ffff:192.0.2.1"), Bytes: []byte(c.text[:n])}
				at, wait := r.Find(&State{}, h)
				if wait != (n < c.at) || !wait && (at == 0) != c.want {
					t.Errorf("%q: found rule %d, more %t, wanted it from %d bytes on", c.text[:n], at, wait, c.at)
				}
				h.Final = true
				at, wait = r.Find(&State{}, h)
				if n == len(c.text) && (wait || (at == 0) != c.want) {
					t.Errorf("%q, all there is: found rule %d, more %t", c.text[:n], at, wait)
				}
			}
		})
	}
}

func TestFirstRule(t *testing.T) {
	r, err := New([]Matchers{{Prefix: []string{"PING\r\n"}}, {Prefix: []string{"P"}}, {SNI: []string{"a"}}}, most)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"": "-1 true", "P": "-1 true", "PO": "1 false", "PING\r\n": "0 false",
		"X": "-1 false", "\x16": "-1 true"} {
		n, wait := r.Find(&State{}, Head{Bytes: []byte(text)})
		if got := fmt.Sprint(n, wait); got != want {
			t.Errorf("%q: found %s, wanted %s", text, got, want)
		}
	}
	if n, wait := r.Find(&State{}, Head{TLS: true, ServerName: "A", Bytes: nil, Final: true}); n != 2 || wait {
		t.Errorf("behind TLS: found %d, %t", n, wait)
	}
}

// TestRegexpsAreBounded: what a pattern has not found in its share of bytes is not there.
func TestRegexpsAreBounded(t *testing.T) {
	r, err := New([]Matchers{{Regexp: []string{"y"}}}, most)
	if err != nil {
		t.Fatal(err)
	}
	if _, wait := r.Find(&State{}, Head{Bytes: []byte(strings.Repeat("x", RegexpMost-1))}); !wait {
		t.Error("it does not wait")
	}
	if n, wait := r.Find(&State{}, Head{Bytes: []byte(strings.Repeat("x", RegexpMost) + "y")}); n != -1 || wait {
		t.Errorf("found rule %d, more %t", n, wait)
	}
}

// TestWorkIsBounded: a peer that sends a large hello byte by byte costs no more than it may,
// and comes to the plugin that it would come to otherwise.
func TestWorkIsBounded(t *testing.T) {
	large := clientHello(t, "a.example.com", strings.Fields(strings.Repeat(strings.Repeat("x", 250)+" ", 50))...)
	for name, b := range map[string][]byte{
		"one record": large, "records of one byte": inRecords(clientHello(t, "a.example.com"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			rules := []Matchers{{Regexp: []string{"never", "(n|e)+ver$"}},
				{SNI: []string{"*"}, Regexp: []string{"nor"}},
				{SNI: []string{"*"}, Regexp: []string{"."}, ALPN: []string{"h9"}}, {SNI: []string{"b.example.com"}},
				{SNI: []string{"a.example.com"}, Regexp: []string{`\x16`}}, {Prefix: []string{"y"}}}
			r, err := New(rules, most)
			if err != nil {
				t.Fatal(err)
			}
			var s State
			for n := range len(b) + 1 {
				at, wait := r.Find(&s, Head{Bytes: b[:n]})
				if wait != (n < len(b)) || !wait && at != 4 {
					t.Fatalf("%d bytes of %d: found rule %d, more %t", n, len(b), at, wait)
				}
			}
			// One more for each piece, and for each expression and doubling of what it sees.
			if limit := workMost + len(b) + len(rules)*4*RegexpMost; s.work > limit {
				t.Errorf("found %d, wanted at most %d", s.work, limit)
			}
		})
	}
}

func TestBadRules(t *testing.T) {
	for want, m := range map[string]Matchers{
		"route.0.regexp: ": {Regexp: []string{"("}}, "route.0.prefix: ": {Prefix: []string{"hex:1"}},
		"route.0.source: ": {Source: []string{"here"}},
	} {
		if _, err := New([]Matchers{m}, most); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("found %v, wanted %s", err, want)
		}
	}
}

// FuzzHello: nothing breaks the reader, and what it has said of the beginning stands.
func FuzzHello(f *testing.F) {
	b := clientHello(f, "example.com", "h2")
	f.Add(b)
	f.Add(inRecords(b, 50))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		was := more
		var first hello
		var bytewise records
		for n := range min(len(b), 2000) + 1 {
			h, v := new(records).parseHello(b[:n], most)
			if was != more && (v != was || !reflect.DeepEqual(h, first)) {
				t.Fatalf("%d bytes: found %v, %+v, after %v, %+v", n, v, h, was, first)
			}
			if was == more {
				if also, w := bytewise.parseHello(b[:n], most); w != v || !reflect.DeepEqual(also, h) {
					t.Fatalf("%d bytes, byte by byte: found %v, %+v, wanted %v, %+v", n, w, also, v, h)
				}
			}
			was, first = v, h
		}
	})
}

func BenchmarkFind(b *testing.B) {
	tlsBytes := clientHello(b, "b.example.com", "h2")
	r, err := New([]Matchers{{SNI: []string{"a.example.com"}}, {SNI: []string{"b.example.com"}},
		{Prefix: []string{"SSH-"}}, {Regexp: []string{"^[A-Z]+ /"}}}, most)
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string][]byte{"sni": tlsBytes, "prefix": []byte("SSH-2.0-OpenSSH\r\n"),
		"regexp": []byte("GET / HTTP/1.1\r\n")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n, wait := r.Find(&State{}, Head{Bytes: text}); n < 1 || wait {
					b.Fatal(n, wait)
				}
			}
		})
	}
}
