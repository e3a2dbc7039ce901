package tlsrecord

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for go:linkname
)

// A wire is one end of a connection in memory: what it writes waits without
// bound, so that nobody waits for a reader.
type wire struct {
	in, out *queue
}

type queue struct {
	mu     sync.Mutex
	filled sync.Cond
	b      []byte
	left   int // of the record that is being read
	closed bool
	end    error // what a reader gets at the end
}

func newQueue() *queue {
	q := &queue{end: io.EOF}
	q.filled.L = &q.mu
	return q
}

func wires() (a, b *wire) {
	x, y := newQueue(), newQueue()
	return &wire{x, y}, &wire{y, x}
}

func (q *queue) Write(b []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, net.ErrClosed
	}
	q.b = append(q.b, b...)
	q.filled.Broadcast()
	return len(b), nil
}

// Read gives at most one record, or a part of one: so crypto/tls takes nothing
// behind what it reads for.
func (q *queue) Read(b []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.b) == 0 && !q.closed {
		q.filled.Wait()
	}
	if len(q.b) == 0 {
		return 0, q.end
	}
	if q.left == 0 {
		q.left = firstRecord(q.b)
	}
	n := copy(b, q.b[:min(len(q.b), q.left)])
	q.b = q.b[n:]
	q.left -= n
	return n, nil
}

func firstRecord(b []byte) int {
	if len(b) < headerSize {
		return len(b)
	}
	return headerSize + int(b[3])<<8 + int(b[4])
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (w *wire) Read(b []byte) (int, error)       { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error)      { return w.out.Write(b) }
func (w *wire) Close() error                     { w.out.close(); w.in.close(); return nil }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) RemoteAddr() net.Addr             { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// chosen is what crypto/tls offers and takes of TLS 1.3's suites, which its
// Config can't say.
//
//go:linkname chosen crypto/tls.defaultCipherSuitesTLS13
var chosen []uint16

//go:linkname chosenNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var chosenNoAES []uint16

// onlySuite makes crypto/tls know one suite, until the test is over.
func onlySuite(tb testing.TB, id uint16) {
	a, b := chosen, chosenNoAES
	chosen, chosenNoAES = []uint16{id}, []uint16{id}
	tb.Cleanup(func() { chosen, chosenNoAES = a, b })
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"host.test"}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// A shaken connection has its handshake behind it: both ends of crypto/tls,
// the wires below them, and the states that a record layer takes over with.
type shaken struct {
	client, server         *tls.Conn
	clientWire, serverWire *wire
	of                     map[string][]byte // secrets by their label in the key log
	suite                  uint16
}

func shake(tb testing.TB, tickets bool) *shaken {
	tb.Helper()
	return shakeOver(tb, tickets, nil)
}

// shakeOver puts over between the server and its wire, where there is one.
func shakeOver(tb testing.TB, tickets bool, over *sink) *shaken {
	tb.Helper()
	var log bytes.Buffer
	s := &shaken{of: map[string][]byte{}}
	s.clientWire, s.serverWire = wires()
	cfg := &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &log, //nolint:gosec // a test's
	}
	if tickets { // a server sends one to who says that it wants one
		cfg.ServerName, cfg.ClientSessionCache = "host.test", tls.NewLRUClientSessionCache(1)
	}
	s.client = tls.Client(s.clientWire, cfg)
	var below net.Conn = s.serverWire
	if over != nil {
		over.wire = *s.serverWire
		below = over
	}
	s.server = tls.Server(below, &tls.Config{
		Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: !tickets, MinVersion: tls.VersionTLS13,
	})
	done := make(chan error, 1)
	go func() { done <- s.server.Handshake() }()
	if err := s.client.Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	for lines := bufio.NewScanner(&log); lines.Scan(); {
		words := bytes.Fields(lines.Bytes())
		secret, err := hex.DecodeString(string(words[2]))
		if err != nil {
			tb.Fatal(err)
		}
		s.of[string(words[0])] = secret
	}
	s.suite = s.client.ConnectionState().CipherSuite
	return s
}

func (s *shaken) state(client bool) State {
	st := State{Suite: s.suite, Client: client}
	st.In.Secret, st.Out.Secret = s.of["CLIENT_TRAFFIC_SECRET_0"], s.of["SERVER_TRAFFIC_SECRET_0"]
	if client {
		st.In, st.Out = st.Out, st.In
	}
	return st
}

// takeOver gives our record layer in place of one end, and what is left.
func (s *shaken) takeOver(tb testing.TB, client bool) (ours *Conn, ourWire *wire, peer *tls.Conn) {
	tb.Helper()
	ours, err := New(s.state(client))
	if err != nil {
		tb.Fatal(err)
	}
	if client {
		return ours, s.clientWire, s.server
	}
	return ours, s.serverWire, s.client
}

// readRecord takes one whole record from the wire.
func readRecord(tb testing.TB, w io.Reader) []byte {
	tb.Helper()
	b := make([]byte, headerSize, MaxRecord)
	if _, err := io.ReadFull(w, b); err != nil {
		tb.Fatal(err)
	}
	b = b[:firstRecord(b)]
	if _, err := io.ReadFull(w, b[headerSize:]); err != nil {
		tb.Fatal(err)
	}
	return b
}

func eachSuite(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for i := range suites {
		t.Run(tls.CipherSuiteName(suites[i].id), func(t *testing.T) {
			onlySuite(t, suites[i].id)
			test(t)
		})
	}
}

func eachRole(t *testing.T, test func(t *testing.T, client bool)) {
	t.Helper()
	eachSuite(t, func(t *testing.T) {
		t.Run("client", func(t *testing.T) { test(t, true) })
		t.Run("server", func(t *testing.T) { test(t, false) })
	})
}
