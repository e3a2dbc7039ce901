package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// certificate is a pair of files, and what they gave last.
type certificate struct {
	pair Pair
	cert atomic.Pointer[tls.Certificate] // nil = nothing yet

	// Under Store.mu:
	sums   [2]string // of the files that gave cert
	read   uint64    // the read that said so last
	err    error     // why what the files have now was not taken over
	warned time.Time // when its dates were last told
}

func (c *certificate) leaf() *x509.Certificate {
	if cert := c.cert.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}

func (c *certificate) notAfter() string { return c.leaf().NotAfter.UTC().Format(time.RFC3339) }

// read reads a pair's files, and takes over what they have, where that has changed.
func (s *Store) read(ctx context.Context, c *certificate) error {
	nth := s.begin()
	cert, sums, err := s.readPair(ctx, c.pair)
	if err != nil {
		err = fmt.Errorf("cert %s, key %s: %w", c.pair.Cert, c.pair.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.read > nth || ctx.Err() != nil {
		return err
	}
	isFirst := c.read == 0
	c.read, c.err = nth, err
	if err != nil || sums == c.sums {
		return err
	}
	c.sums = sums
	c.cert.Store(cert)
	s.rebuild(func(v *server) bool { return slices.Contains(v.certificates, c) }, false)
	if !isFirst {
		s.o.Logger.Info("a certificate was taken over", "cert", c.pair.Cert, "not_after", c.notAfter())
	}
	s.warn(c)
	return nil
}

func (s *Store) readPair(ctx context.Context, p Pair) (cert *tls.Certificate, sums [2]string, err error) {
	certText, certSum, err := s.file(ctx, p.Cert)
	if err != nil {
		return nil, sums, err
	}
	keyText, keySum, err := s.file(ctx, p.Key)
	if err != nil {
		return nil, sums, err
	}
	cert, err = ParsePair(certText, keyText)
	return cert, [2]string{certSum, keySum}, err
}

// ParsePair is tls.X509KeyPair, whose errors quote the types of what else stands in the
// files.
func ParsePair(certText, keyText []byte) (*tls.Certificate, error) {
	if !has(certText, func(kind string) bool { return kind == "CERTIFICATE" }) {
		return nil, errors.New("found no certificate in cert, wanted PEM")
	}
	if !has(keyText, isKey) {
		return nil, errors.New("found no private key without a password in key, wanted PEM")
	}
	cert, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, err
	}
	if cert.Leaf == nil { // by GODEBUG=x509keypairleaf=0
		cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0])
	}
	return &cert, err
}

func isKey(kind string) bool {
	return kind == "PRIVATE KEY" || kind == "RSA PRIVATE KEY" || kind == "EC PRIVATE KEY"
}

// has tells whether a block of a kind is in a PEM file.
func has(text []byte, kind func(string) bool) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if kind(block.Type) {
			return true
		}
	}
}

// warnEvery is how often a certificate is told whose dates are not right: clients judge
// them, so it is served all the same.
const warnEvery = 24 * time.Hour

// Remind tells of the certificates that have expired, or are not valid yet, each once a
// day. It is for calling often.
func (s *Store) Remind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.pairs {
		if now := s.o.Wall(); now.Sub(c.warned) >= warnEvery || now.Before(c.warned) {
			s.warn(c)
		}
	}
}

// warn tells of a certificate's dates, where they are not right. mu is held.
func (s *Store) warn(c *certificate) {
	leaf, now := c.leaf(), s.o.Wall()
	switch {
	case leaf == nil:
		return
	case now.After(leaf.NotAfter):
		s.o.Logger.Warn("a certificate has expired: clients will refuse it", "cert", c.pair.Cert,
			"not_after", c.notAfter())
	case now.Before(leaf.NotBefore):
		s.o.Logger.Warn("a certificate is not valid yet: clients will refuse it", "cert", c.pair.Cert,
			"not_before", leaf.NotBefore.UTC().Format(time.RFC3339))
	default:
		c.warned = time.Time{} // so that the end of its time is told when it comes
		return
	}
	c.warned = now
}
