package host

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/fetch"
)

// sources read what the configuration names: modules, certificates, keys. Any
// goroutine.
type sources struct {
	files   bounded.Reader
	builtin func(string) ([]byte, bool) // the module behind builtin:NAME; nil = there are none
	wall    func() time.Time
	fetch   *fetch.Fetcher // made with the loader
}

// readPEM reads a file of certificates or of a key.
func (s *sources) readPEM(ctx context.Context, path string) ([]byte, error) {
	b, err := s.files.Read(ctx, path, bounded.MaxText)
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%s: %w, wanted at most that", path, err)
	}
	return b, err
}

// readRoots reads a file of certificates that others are verified by.
func (s *sources) readRoots(ctx context.Context, path string) (*x509.CertPool, error) {
	pem, err := s.readPEM(ctx, path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("found no certificate in %s, wanted PEM", path)
	}
	return roots, nil
}

// allowList reads where a plugin's outgoing connections may go.
func (s *sources) allowList(ctx context.Context, cfg config.Allow) (*guest.AllowList, error) {
	var roots *x509.CertPool
	if cfg.CA != "" {
		var err error
		if roots, err = s.readRoots(ctx, cfg.CA); err != nil {
			return nil, fmt.Errorf("allow.ca: %w", err)
		}
	}
	return guest.NewAllowList(cfg.Connect, cfg.Private, roots)
}
