package reactor_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// updater is a TLS 1.3 client that makes records of its own, since crypto/tls
// has no call for a key update.
type updater struct {
	net.Conn
	t      *testing.T
	secret []byte // of what the client sends
	seq    uint64
}

// newUpdater takes over a connection on which the client has sent nothing since
// the handshake. It skips the test where the cipher is another than its own.
func newUpdater(t *testing.T, c net.Conn, cfg *tls.Config) (*updater, *tls.Conn) {
	t.Helper()
	var keys bytes.Buffer
	cfg = cfg.Clone()
	cfg.KeyLogWriter = &keys
	tc := tls.Client(c, cfg)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if s := tc.ConnectionState(); s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("another cipher was chosen: ", tls.CipherSuiteName(s.CipherSuite))
	}
	_, line, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	var random, secret []byte
	if _, err := fmt.Sscanf(line, "%x %x", &random, &secret); err != nil {
		t.Fatal(err)
	}
	return &updater{Conn: c, t: t, secret: secret}, tc
}

// expand is HKDF-Expand-Label of RFC 8446, 7.1, without a context.
func (u *updater) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(info, "tls13 "+label...), 0)
	b, err := hkdf.Expand(sha256.New, u.secret, string(info), n)
	if err != nil {
		u.t.Fatal(err)
	}
	return b
}

// record is p as a record of the type.
func (u *updater) record(kind byte, p []byte) []byte {
	block, err := aes.NewCipher(u.expand("key", 16))
	if err != nil {
		u.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		u.t.Fatal(err)
	}
	nonce := u.expand("iv", 12)
	for i := range 8 {
		nonce[4+i] ^= byte(u.seq >> (56 - 8*i))
	}
	u.seq++
	p = append(bytes.Clone(p), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(p)+aead.Overhead()))
	return aead.Seal(head, nonce, p, head)
}

// update is a KeyUpdate that asks for one in return (RFC 8446, 4.6.3). What
// follows it has another key.
func (u *updater) update() []byte {
	b := u.record(22, []byte{24, 0, 0, 1, 1})
	u.secret, u.seq = u.expand("traffic upd", sha256.Size), 0
	return b
}

func (u *updater) data(p string) []byte { return u.record(23, []byte(p)) }

// halfOpen is a Protocol that goes on when the peer has closed, and echoes until
// it is told to close its own side.
type halfOpen struct {
	reactor.Transport
	got    chan string
	lost   chan string
	queued int // the most that was seen
}

func (p *halfOpen) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return p, nil }
func (p *halfOpen) ConnectionMade(t reactor.Transport)                        { p.Transport = t }
func (p *halfOpen) ReadConnectionLost()                                       {}
func (p *halfOpen) WriteConnectionLost()                                      {}

func (p *halfOpen) DataReceived(b []byte) {
	p.queued = max(p.queued, p.Stats().Queued)
	switch text := string(b); {
	case strings.ReplaceAll(text, "quiet", "") == "": // records may come together
		return
	case text == "lose":
		p.LoseWriteConnection()
	default:
		p.Write(b)
	}
	p.got <- string(b)
}

func (p *halfOpen) ConnectionLost(r reactor.Reason, err error) {
	p.lost <- fmt.Sprint(r, ", ", err)
}

// updating serves p with TLS.
func updating(t *testing.T, cfg reactor.Config, p *halfOpen) (network, address string, client *tls.Config) {
	t.Helper()
	p.got, p.lost = make(chan string, 10), make(chan string, 1)
	_, network, address, client = serveTLS(t, cfg, p)
	return network, address, client
}

// serveTLS serves a factory with TLS. client is for who connects.
func serveTLS(t *testing.T, cfg reactor.Config, f reactor.Factory,
) (r *reactor.Reactor, network, address string, client *tls.Config) {
	t.Helper()
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cert, pool := reactor.CertificateForTest(t)
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tls", Host: "127.0.0.1"}, f,
		reactor.ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Start(), ln.Start()); err != nil {
		t.Fatal(err)
	}
	network, address = reactor.Address(ln.Endpoint())
	return r, network, address, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// TestKeyUpdate: the peer may change its key, and ask for another of ours, while
// both sides are open and after we have closed ours.
func TestKeyUpdate(t *testing.T) {
	for _, kind := range []string{"auto", "portable", "library"} {
		t.Run(kind, func(t *testing.T) {
			p := &halfOpen{}
			cfg := reactor.Config{Loops: 1, Backend: kind}
			if kind == "library" {
				cfg = reactor.Config{Loops: 1, LibraryTLS: true}
			}
			network, address, client := updating(t, cfg, p)
			c, err := net.Dial(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			u, tc := newUpdater(t, c, client)
			u.Write(append(u.update(), u.data("a")...))
			if b, err := io.ReadAll(io.LimitReader(tc, 1)); err != nil || string(b) != "a" {
				t.Fatalf("read %q, %v", b, err)
			}
			u.Write(u.data("lose"))
			if b, err := io.ReadAll(tc); err != nil || len(b) > 0 {
				t.Fatalf("read %q, %v", b, err)
			}
			for _, want := range []string{"b", "c"} { // an answer that fails is told at the next
				u.Write(append(u.update(), u.data(want)...))
			}
			const want = "alosebc"
			for got := ""; got != want; {
				select {
				case b := <-p.got:
					if got += b; !strings.HasPrefix(want, got) {
						t.Fatalf("the server got %q, wanted %q", got, want)
					}
				case why := <-p.lost:
					t.Fatalf("lost: %s; found %q, wanted %q", why, got, want)
				}
			}
			u.Write(u.record(21, []byte{1, 0})) // close_notify
			if why := <-p.lost; why != "connection done, <nil>" {
				t.Error("lost:", why)
			}
		})
	}
}

// TestKeyUpdatesUnread: a peer that asks for keys and does not read is owed one answer.
// crypto/tls answers each time: then the answers count as output, and reading from it
// pauses.
func TestKeyUpdatesUnread(t *testing.T) {
	for _, library := range []bool{false, true} {
		t.Run(fmt.Sprint("library=", library), func(t *testing.T) { testKeyUpdatesUnread(t, library) })
	}
}

func testKeyUpdatesUnread(t *testing.T, library bool) {
	const high = 8 << 10
	sys := memnet.New(memnet.Options{Buffer: 4 << 10})
	p := &halfOpen{}
	network, address, client := updating(t, reactor.Config{Loops: 1, Sys: sys, HighWater: high, LibraryTLS: library}, p)
	peer, err := sys.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	u, _ := newUpdater(t, peer.Conn(), client)
	// put reports false when the server has stopped reading.
	put := func(b []byte) bool {
		for len(b) > 0 {
			n, err := peer.Write(b)
			if err == syscall.EAGAIN {
				sys.Settle()
				n, err = peer.Write(b)
			}
			if err != nil {
				return err != syscall.EAGAIN
			}
			b = b[n:]
		}
		return true
	}
	const much = 3000
	sent := 0
	for sent < much && put(append(u.update(), u.data("quiet")...)) {
		sent++
	}
	sys.Settle()
	most := 64 // one answer
	if library {
		most = 2 * high
	}
	if library && sent == much || p.queued > most {
		t.Errorf("%d key updates were taken, and %d bytes queued for them, wanted at most %d", sent, p.queued, most)
	}
}
