package sdk_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
)

// serveLayers serves a guest behind one listener, and behind it plugin inner, of the same module, to
// which it may connect and hand connections over, as to who serves TLS with that certificate.
func serveLayers(t testing.TB, endpoint, module string, isolation config.Isolation, files certtest.Files) *server {
	t.Helper()
	inner := config.Plugin{Module: module, Isolation: isolation}
	p := inner
	p.Allow.Connect = []string{"plugin://inner", "plugin://gone", "tcp://127.0.0.1:*"}
	p.Allow.HandOver, p.Allow.CA = []string{"inner"}, files.CA
	of := config.TLS{Cert: files.Cert, Key: files.Key, ClientCA: files.CA, ALPN: []string{"chat"}}
	if endpoint == plain {
		of = config.TLS{}
	}
	return serveAt(t, endpoint, p, of, func(c *config.Config) { c.Plugins["inner"] = inner })
}

// Where a guest is served.
const (
	plain     = "tcp://127.0.0.1:0"
	encrypted = "tls://127.0.0.1:0"
)

// pair is what a certificate's files are to package tls.
func pair(t testing.TB, files certtest.Files) tls.Certificate {
	t.Helper()
	own, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// dialTLS connects as a client who has a certificate.
func dialTLS(t testing.TB, addr string, files certtest.Files) (c *tls.Conn, certificate []byte) {
	t.Helper()
	own := pair(t, files)
	return tls.Client(dial(t, addr), &tls.Config{
		RootCAs: files.Pool, ServerName: "localhost", NextProtos: []string{"chat"},
		Certificates: []tls.Certificate{own},
	}), own.Certificate[0]
}

// seen is what a guest answers who with.
func seen(c net.Conn, alpn string, certificate []byte) string {
	sum := 0
	for _, b := range certificate {
		sum += int(b)
	}
	return fmt.Sprintf("tcp://%s tcp://%s %s %d\r\n", c.LocalAddr(), c.RemoteAddr(), alpn, sum)
}

// read reads one line.
func read(t testing.TB, c net.Conn) string {
	t.Helper()
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("after %q: %v", line.String(), err)
		}
		line.WriteByte(b[0])
	}
	return strings.TrimSpace(line.String())
}

// The plugin behind sees the client as the one in front does where that asks for it, and else that
// plugin; and each way in which it can't be reached is told.
func TestConnectAs(t *testing.T) {
	files := certtest.Issue(t)
	for _, l := range with(counter) {
		for _, isolation := range isolations {
			passed := t.Run(l.name+"/"+string(isolation), func(t *testing.T) {
				s := serveLayers(t, encrypted, build(t, l, layers), isolation, files)
				c, certificate := dialTLS(t, s.addr, files)
				want := seen(c, "chat", certificate)
				say(t, c, "who\r\n", want)
				say(t, c, "as plugin://inner\r\n", "made\r\n")
				say(t, c, "> who\r\n", want)
				say(t, c, "connect plugin://inner\r\n", "made\r\n")
				say(t, c, "> who\r\n", "plugin://guest plugin://inner  0\r\n")
				say(t, c, "as plugin://guest\r\nconnect plugin://guest\r\n", "refused\r\nrefused\r\n") // not allowed
				for _, word := range []string{"as", "connect"} {
					say(t, c, word+" plugin://gone\r\n", "failed 10 ")
					if text := read(t, c); !strings.Contains(text, "gone") {
						t.Errorf("%s: found the reason %q", word, text)
					}
				}
				plain := dial(t, serveLayers(t, plain, build(t, l, layers), isolation, files).addr)
				say(t, plain, "as plugin://inner\r\n", "made\r\n")
				say(t, plain, "> who\r\n", seen(plain, "", nil))
			})
			count(columnTransports, l, passed)
		}
	}
}

// A connection that is handed over goes on with who gets it, and what was read comes first.
func TestHandOver(t *testing.T) {
	files := certtest.Issue(t)
	for _, l := range with(counter) {
		passed := t.Run(l.name, func(t *testing.T) {
			s := serveLayers(t, encrypted, build(t, l, layers), config.IsolationShared, files)
			c, certificate := dialTLS(t, s.addr, files)
			say(t, c, "over gone\r\nover \r\n", "refused\r\nrefused\r\n") // not allowed
			say(t, c, "over inner\r\n", seen(c, "chat", certificate))
			say(t, c, "over inner\r\n", "refused\r\n") // inner may not
		})
		count(columnTransports, l, passed)
	}
}

// Each stage of TLS has its state.
func TestStates(t *testing.T) {
	files := certtest.Issue(t)
	for _, l := range with(counter) {
		passed := t.Run(l.name, func(t *testing.T) {
			p := config.Plugin{Module: build(t, l, layers)}
			say(t, dial(t, serve(t, p).addr), "state\r\n", "0\r\n")
			s := serveTLS(t, p, config.TLS{Cert: files.Cert, Key: files.Key})
			say(t, dial(t, s.addr), "state\r\n", "128\r\n")
			s = serveLayers(t, encrypted, p.Module, config.IsolationLoop, files)
			c, _ := dialTLS(t, s.addr, files)
			say(t, c, "state\r\n", "32\r\n")
		})
		count(columnTransports, l, passed)
	}
}

// servesSTARTTLS is a server which begins TLS after one line, and then sends lines back. What it
// says behind that in plain text is nobody's (RFC 3207, section 4.2).
func servesSTARTTLS(t testing.TB, name string, files certtest.Files) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	own := pair(t, files)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err = bufio.NewReader(c).ReadString('\n'); err == nil {
			_, err = io.WriteString(c, "go "+name+"\r\nEVIL\r\ngo "+name+"\r\nEV")
		}
		over := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{own}})
		if err == nil {
			_, err = io.Copy(over, over)
		}
		if err == nil {
			_ = over.CloseWrite() // the client notices
		}
	}()
	return ln.Addr().String()
}

// TLS that a guest begins as the client is verified by name, and where that fails nothing is said to
// the server.
func TestStartTLSClient(t *testing.T) {
	trusted, other := certtest.Issue(t), certtest.Issue(t)
	cases := []struct {
		name    string
		files   certtest.Files
		refusal string
	}{
		{"localhost", trusted, ""}, {"127.0.0.1", trusted, ""},
		{"example.org", trusted, "example.org"}, {"localhost", other, "authority"},
	}
	for _, l := range with(counter) {
		for _, k := range cases {
			passed := t.Run(l.name+"/"+k.name+"/"+k.refusal, func(t *testing.T) {
				s := serveLayers(t, plain, build(t, l, layers), config.IsolationShared, trusted)
				c := dial(t, s.addr)
				say(t, c, "connect tcp://"+servesSTARTTLS(t, k.name, k.files)+"\r\n", "made\r\n")
				if k.refusal != "" {
					say(t, c, "> tls\r\n", "lost 4 ")
					if text := read(t, c); !strings.Contains(text, k.refusal) {
						t.Errorf("found the reason %q, wanted one with %q", text, k.refusal)
					}
					return
				}
				say(t, c, "> tls\r\n", "secure\r\n")
				say(t, c, "> hello\r\n", "hello\r\n")
				say(t, c, "> go localhost\r\n", "refused\r\n") // it is on
			})
			count(columnTransports, l, passed)
		}
	}
}

// A reload moves both sides, from language to language, and the one behind them stays.
func TestLayersMove(t *testing.T) {
	all := available(t, counter)
	if len(all) == 0 {
		t.Skip("no language can be built")
	}
	files := certtest.Issue(t)
	s := serveLayers(t, encrypted, build(t, all[0], layers), config.IsolationShared, files)
	c, certificate := dialTLS(t, s.addr, files)
	say(t, c, "as plugin://inner\r\n", "made\r\n")
	safe, _ := dialTLS(t, s.addr, files)
	say(t, safe, "connect tcp://"+servesSTARTTLS(t, "localhost", files)+"\r\n", "made\r\n")
	say(t, safe, "> tls\r\n", "secure\r\n")
	for _, l := range append(all[1:], all[0]) {
		s.use(t, build(t, l, layers), 4)
		say(t, c, "> who\r\n", seen(c, "chat", certificate))
		say(t, safe, "> "+l.name+"\r\n", l.name+"\r\n")
	}
}

// A guest without WASI has the time of day and random bytes, more than one call gives too.
func TestTimeAndChance(t *testing.T) {
	for _, l := range with(counter) {
		passed := t.Run(l.name, func(t *testing.T) {
			c := dial(t, serve(t, config.Plugin{Module: build(t, l, layers)}).addr)
			before := time.Now().Unix()
			say(t, c, "time\r\n", "")
			now, err := strconv.ParseInt(read(t, c), 10, 64)
			if err != nil || now < before || now > time.Now().Unix() {
				t.Errorf("found %d, %v, wanted %d or a little later", now, err, before)
			}
			const much = 150_000
			b := make([]byte, 2*much)
			say(t, c, fmt.Sprintf("random %d\r\nrandom %[1]d\r\n", much), "")
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
			parts := map[string]bool{}
			for ; len(b) > 0; b = b[1000:] {
				parts[string(b[:1000])] = true
			}
			if len(parts) != 2*much/1000 {
				t.Errorf("found %d different parts of %d", len(parts), 2*much/1000)
			}
		})
		count(columnTransports, l, passed)
	}
}
