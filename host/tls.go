package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// serverTLS reads a listener's certificate; nil where it has none.
func (s *sources) serverTLS(ctx context.Context, cfg config.TLS) (*tls.Config, error) {
	if cfg.Cert == "" && cfg.Key == "" {
		if cfg.ClientCA != "" || len(cfg.ALPN) > 0 {
			return nil, errors.New("tls: found client_ca or alpn, wanted cert and key as well")
		}
		return nil, nil
	}
	cert, err := s.keyPair(ctx, cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: cert %s, key %s: %w", cfg.Cert, cfg.Key, err)
	}
	leaf := cert.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("tls: cert %s: %w", cfg.Cert, err)
		}
	}
	switch now := s.wall(); {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("tls: cert %s: found one that expired on %s", cfg.Cert,
			leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("tls: cert %s: found one that is valid from %s only", cfg.Cert,
			leaf.NotBefore.Format(time.RFC3339))
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: cfg.ALPN}
	if cfg.ClientCA != "" {
		if c.ClientCAs, err = s.readRoots(ctx, cfg.ClientCA); err != nil {
			return nil, fmt.Errorf("tls: client_ca: %w", err)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

func (s *sources) keyPair(ctx context.Context, cert, key string) (tls.Certificate, error) {
	c, err := s.readPEM(ctx, cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := s.readPEM(ctx, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(c, k)
}
