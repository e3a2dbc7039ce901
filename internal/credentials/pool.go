package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"
)

// Pool are the certificates of authorities, as a file has them. Any goroutine.
type Pool struct {
	path   string
	roots  atomic.Pointer[x509.CertPool] // nil = nothing yet
	client atomic.Pointer[tls.Config]

	// Under Store.mu:
	sum  string // of what gave roots
	read uint64 // the read that said so last
	err  error  // why what the file has now was not taken over
}

// Client is the configuration of connections whose peers these authorities vouch for. It
// must not be changed.
func (p *Pool) Client() *tls.Config { return p.client.Load() }

// readPool reads a file of authorities, and takes over what it has, where that has
// changed.
func (s *Store) readPool(ctx context.Context, p *Pool) error {
	nth := s.begin()
	text, sum, err := s.file(ctx, p.path)
	roots := x509.NewCertPool()
	if err == nil && !roots.AppendCertsFromPEM(text) {
		err = fmt.Errorf("found no certificate in %s, wanted PEM", p.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.read > nth || ctx.Err() != nil {
		return err
	}
	isFirst := p.read == 0
	p.read, p.err = nth, err
	if err != nil || sum == p.sum {
		return err
	}
	p.sum = sum
	p.roots.Store(roots)
	p.client.Store(&tls.Config{RootCAs: roots})
	s.rebuild(func(v *server) bool { return v.clients == p }, true)
	if !isFirst {
		s.o.Logger.Info("authorities were taken over", "file", p.path)
	}
	return nil
}
