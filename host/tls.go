package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/credentials"
)

// CertificateInfo is a certificate that listeners have.
type CertificateInfo struct {
	Cert      string     `json:"cert"` // file
	Names     []string   `json:"names"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"` // clients judge it: it is served later, too
	Loaded    bool       `json:"loaded"`              // false: handshakes that need it fail
	Err       string     `json:"err,omitempty"`       // why what the files have now was not taken over
}

// tlsSettings are a listener's, for the store of certificates; they are nothing where it
// has none.
func tlsSettings(cfg config.TLS) credentials.Settings {
	to := credentials.Settings{ClientCA: cfg.ClientCA, ALPN: cfg.ALPN, MinVersion: tls.VersionTLS12}
	if cfg.MinVersion == "1.3" {
		to.MinVersion = tls.VersionTLS13
	}
	for _, c := range cfg.All() {
		to.Pairs = append(to.Pairs, credentials.Pair{Cert: c.Cert, Key: c.Key})
	}
	return to
}

// serverTLS is a listener's side of TLS; nil where it has no certificate. starting: one
// that can't be loaded is no error.
func (s *sources) serverTLS(ctx context.Context, cfg config.TLS, starting bool) (*tls.Config, error) {
	to := tlsSettings(cfg)
	if len(to.Pairs) == 0 {
		if cfg.ClientCA != "" || len(cfg.ALPN) > 0 {
			return nil, errors.New("tls: found client_ca or alpn, wanted cert and key as well")
		}
		return nil, nil
	}
	c, err := s.credentials.Server(ctx, to, starting)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return c, nil
}

// Certificates tell of every certificate that listeners have, by its file. Any goroutine.
func (h *Host) Certificates() []CertificateInfo {
	list := []CertificateInfo{}
	for _, in := range h.sources.credentials.Infos() {
		c := CertificateInfo{Cert: in.Cert, Names: in.Names, Loaded: in.Loaded, Err: in.Err}
		if in.Loaded {
			c.NotBefore, c.NotAfter = &in.NotBefore, &in.NotAfter
		}
		list = append(list, c)
	}
	return list
}

// CertificateFiles are the files of all certificates, keys and authorities that run, with
// the SHA-256 of what was taken over, in hex. Any goroutine.
func (h *Host) CertificateFiles() map[string]string { return h.sources.credentials.Files() }

// ReloadCertificate reads one of CertificateFiles again, and the one that belongs to it,
// and takes over what has changed and is whole: handshakes from then on have it. The error
// says what can't be taken over, such as a certificate whose key has not been written yet;
// there, what ran runs on. Any goroutine; ctx ends it.
func (h *Host) ReloadCertificate(ctx context.Context, file string) error {
	return h.sources.credentials.Reload(ctx, file)
}

// keepCredentials forgets the certificates that no listener and no version has any more.
func (h *Host) keepCredentials() {
	var settings []credentials.Settings
	var pools []string
	h.mu.Lock()
	for _, l := range h.cfg.Listeners {
		settings = append(settings, tlsSettings(l.TLS))
	}
	h.mu.Unlock()
	for _, p := range h.all() {
		p.mu.Lock()
		for _, v := range p.listed() {
			pools = append(pools, v.cfg.Allow.CA)
			settings = append(settings, tlsSettings(v.cfg.Allow.TLS))
		}
		p.mu.Unlock()
	}
	h.sources.credentials.Keep(settings, pools)
}
