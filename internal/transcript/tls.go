package transcript

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
)

// The words behind tls.
const (
	roleClient = "client"
	roleServer = "server"
)

// stream is what a transcript's end reads and writes: a memnet.Peer, or TLS over one. Its
// calls do not block.
type stream interface {
	io.ReadWriter
	CloseWrite() error
}

// authority issues the certificates of transcripts that turn TLS on. The guest's listener
// has one of them, and the guest trusts the others.
type authority struct {
	dir  string // files for the host
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// serverName is what the guest's certificate is for.
const serverName = "localhost"

// secure has a guest whose transcript turns TLS on be able to: it gives the listener's
// settings, and p the authority to verify with where it has none.
func (s *Server) secure(p *Plugin) (settings config.TLS, err error) {
	if !p.secure {
		return settings, nil
	}
	a := &authority{pool: x509.NewCertPool()}
	if a.dir, err = os.MkdirTemp("", "wirehost-transcript-"); err != nil {
		return settings, err
	}
	s.authority = a
	file := func(name string) string { return filepath.Join(a.dir, name) }
	settings.Cert, settings.Key = file("cert.pem"), file("key.pem")
	if err := a.write(file("ca.pem"), settings); err != nil {
		return settings, errors.Join(err, a.remove())
	}
	if p.Config.Allow.CA == "" {
		p.Config.Allow.CA = file("ca.pem")
	}
	return settings, nil
}

// write makes the authority, and the guest's certificate.
func (a *authority) write(ca string, settings config.TLS) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := certificate("wirehost test")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.pool.AddCert(a.cert)
	leaf, err := a.issue(serverName)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{ca, "CERTIFICATE", der}, {settings.Cert, "CERTIFICATE", leaf.Certificate[0]},
		{settings.Key, "PRIVATE KEY", key}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// certificate is the template of one for a day.
func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
}

// issue makes a certificate for a name or an address.
func (a *authority) issue(name string) (tls.Certificate, error) {
	template := certificate(name)
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// remove removes the files. nil has none.
func (a *authority) remove() error {
	if a == nil {
		return nil
	}
	return os.RemoveAll(a.dir)
}

// startTLS makes the handshake on a connection, whose stream is then what TLS carries.
func (s *Server) startTLS(c *conn, st step) error {
	if _, ok := c.stream.(*memnet.Peer); !ok {
		return s.fail(st.line, "tls: it is on", "")
	}
	if s.authority == nil {
		return s.fail(st.line, "tls: the guest was opened for a transcript without it: see Plugin.For", "")
	}
	s.pull(c)
	client := !c.accepted
	if len(st.data) > 0 {
		client = string(st.data) == roleClient
	}
	w := &wire{s: s, peer: c.peer, handshake: true}
	var conn *tls.Conn
	if client {
		if err := s.nothing(c, st.line); err != nil {
			return err
		}
		conn = tls.Client(w, &tls.Config{RootCAs: s.authority.pool, ServerName: serverName})
	} else {
		w.before, c.got = c.got, nil // the guest's hello
		conn = tls.Server(w, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := h.ServerName
			if name == "" {
				name, _, _ = net.SplitHostPort(c.peer.Addr().String()) // "" is a Unix socket's
			}
			cert, err := s.authority.issue(name)
			return &cert, err
		}})
	}
	if err := conn.Handshake(); err != nil {
		return s.fail(st.line, "tls: "+err.Error(), "")
	}
	w.handshake = false
	c.stream = conn
	s.Settle() // the guest's side is up
	return nil
}

// wire is the net.Conn below TLS: a peer that is read when there is nothing more to do for
// the guest. Behind the handshake an empty one is EAGAIN, which is an error of the kind
// that crypto/tls does not keep.
type wire struct {
	s         *Server
	peer      *memnet.Peer
	before    []byte // read already
	handshake bool
}

var errSilent = errors.New("the guest does not answer the handshake")

func (w *wire) Read(b []byte) (int, error) {
	if len(w.before) > 0 {
		n := copy(b, w.before)
		w.before = w.before[n:]
		return n, nil
	}
	w.s.Settle()
	n, err := w.peer.Read(b)
	if w.handshake && errors.Is(err, syscall.EAGAIN) {
		err = errSilent
	}
	return n, err
}

func (w *wire) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		if k, err = w.peer.Write(b[n:]); k == 0 {
			w.s.Settle()
			k, err = w.peer.Write(b[n:])
		}
		n += k
	}
	return n, err
}

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return w.peer.Addr() }
func (w *wire) RemoteAddr() net.Addr             { return w.peer.RemoteAddr() }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
