package reactor

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestProxyProtocol(t *testing.T) {
	v2 := func(cmd byte, rest string) string {
		return proxySigV2 + string([]byte{0x20 | cmd, 0x11, 0, byte(len(rest))}) + rest
	}
	addr := string([]byte{10, 1, 2, 3, 10, 9, 9, 9, 0x12, 0x34, 0, 80})
	own := "self"
	tests := map[string]struct {
		header, peer, host string // peer "" = refused
	}{
		"v1": {"PROXY TCP4 10.1.2.3 10.9.9.9 4660 80\r\n", "tcp://10.1.2.3:4660",
			"tcp://10.9.9.9:80"},
		"v1 six":               {"PROXY TCP6 ::1 ::2 4660 80\r\n", "tcp://[::1]:4660", "tcp://[::2]:80"},
		"v1 unknown":           {"PROXY UNKNOWN\r\n", own, own},
		"v1 unknown with text": {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", own, own},
		"v2":                   {v2(1, addr), "tcp://10.1.2.3:4660", "tcp://10.9.9.9:80"},
		"v2 local":             {v2(0, ""), own, own},
		"v2 unspecified":       {proxySigV2 + "\x21\x00\x00\x03abc", own, own},
		"malformed":            {"PROXY TCP4 x y z\r\n", "", ""},
		"missing":              {"GET / HTTP/1.0\r\n\r\n", "", ""},
		"too long":             {"PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "", ""},
		"v2 too long":          {proxySigV2 + "\x21\x11\xff\xff", "", ""},
	}
	for name, tt := range tests {
		for _, split := range []string{"whole", "bytes"} {
			t.Run(name+"/"+split, func(t *testing.T) {
				told := make(chan string, 1)
				f := factoryFunc(func(Transport) (Protocol, error) {
					return &protocolFuncs{
						made: func(tr Transport) {
							told <- tr.Peer() + " " + tr.Host()
						},
						data: func(tr Transport, b []byte) { tr.Write(b) },
					}, nil
				})
				_, ln := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", f, ListenOptions{Loop: -1, ProxyProtocol: true,
					ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
				c := dial(t, ln)
				if split == "whole" {
					c.Write([]byte(tt.header + "hello"))
				} else {
					for i := range len(tt.header + "hello") {
						c.Write([]byte((tt.header + "hello")[i : i+1]))
					}
				}
				c.(*net.TCPConn).CloseWrite()
				got, err := io.ReadAll(c)
				if tt.peer == "" {
					if len(got) > 0 {
						t.Errorf("answered %q", got)
					}
					return
				}
				if err != nil || !bytes.Equal(got, []byte("hello")) {
					t.Fatalf("got %q, %v", got, err)
				}
				want := tt.peer + " " + tt.host
				if tt.peer == own {
					want = "tcp://" + c.LocalAddr().String() + " tcp://" + c.RemoteAddr().String()
				}
				if got := <-told; got != want {
					t.Errorf("told %s, wanted %s", got, want)
				}
			})
		}
	}
}

func TestProxyUntrusted(t *testing.T) {
	f := factoryFunc(func(Transport) (Protocol, error) { t.Error("a protocol was built"); return echo(nil) })
	_, ln := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", f, ListenOptions{Loop: -1, ProxyProtocol: true,
		ProxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	c := dial(t, ln)
	c.Write([]byte("PROXY TCP4 10.1.2.3 10.9.9.9 4660 80\r\nhello"))
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
}

func TestTrusted(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	for addr, want := range map[string]bool{"10.1.2.3": true, "11.1.2.3": false, "fe80::1%eth0": true,
		"fd00::1%eth0": false} {
		if got := trusted(from, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// TestProxySilence: who never sends its header is refused, counted and told of.
func TestProxySilence(t *testing.T) {
	var said bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &said, Level: hclog.Warn})
	f := factoryFunc(func(Transport) (Protocol, error) { t.Error("a protocol was built"); return echo(nil) })
	r, ln := serve(t, Config{Loops: 1, Logger: log}, "tcp://127.0.0.1:0", f,
		ListenOptions{Loop: -1, ProxyProtocol: true,
			HandshakeTimeout: time.Millisecond, ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if c := dialBriefly(t, ln); c != nil {
		c.Write([]byte("PROXY "))
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("answered %q", b)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := ln.Stats().Refused; n != 1 || !strings.Contains(said.String(), "no PROXY header") {
		t.Errorf("%d refused; said %q", n, said.String())
	}
}

func FuzzProxyHeaderSize(f *testing.F) {
	f.Add([]byte("PROXY TCP4 10.1.2.3 10.9.9.9 4660 80\r\nhello"))
	f.Add([]byte(proxySigV2 + "\x21\x11\x00\x0c123456789012rest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := proxyHeaderSize(b)
		if whole < 0 || whole > len(b) {
			t.Fatalf("size %d of %d", whole, len(b))
		}
		for i := range b { // any split decides the same
			n, e := proxyHeaderSize(b[:i])
			if n > 0 && n != whole || e != nil && err == nil && whole > 0 {
				t.Fatalf("prefix %d: %d %v, whole: %d %v", i, n, e, whole, err)
			}
		}
	})
}
