package host

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// secure adds a listener with a certificate to an echo's.
func secure(certificates ...config.Certificate) config.Config {
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
	cfg.Listeners = append(cfg.Listeners, config.Listener{Endpoint: "tls://127.0.0.1:0", Plugin: "guest",
		TLS: config.TLS{Certificates: certificates}})
	return cfg
}

// greet shakes hands and has an echo, or gives the error.
func greet(t *testing.T, addr string, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c := tls.Client(dial(t, addr), client)
	if err := c.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	send(t, c, "hello")
	expect(t, c, "hello")
	return c.ConnectionState(), nil
}

// TestCertificateMissing: what one listener lacks takes its handshakes down, and nothing
// else, until it is there.
func TestCertificateMissing(t *testing.T) {
	dir := t.TempDir()
	missing := config.Certificate{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	s := serve(t, secure(missing))
	plain := dial(t, s.addrs[0])
	send(t, plain, "hello")
	expect(t, plain, "hello")
	if _, err := greet(t, s.addrs[1], &tls.Config{InsecureSkipVerify: true}); err == nil ||
		!strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("found %v, wanted an alert", err)
	}
	if in := s.Certificates(); len(in) != 1 || in[0].Loaded || !strings.Contains(in[0].Err, missing.Cert) {
		t.Errorf("found %+v", in)
	}
	if n := len(s.logs.all("a certificate can't be loaded; handshakes that need it fail until it can")); n != 1 {
		t.Errorf("found it told %d times", n)
	}
	// What was missing before keeps no change from coming, and what is new must be there.
	if _, err := s.Reload(context.Background(), s.Config()); err != nil {
		t.Error(err)
	}
	other := secure(missing)
	other.Listeners[1].TLS.Certificates = []config.Certificate{missing,
		{Cert: filepath.Join(dir, "x"), Key: missing.Key}}
	if _, err := s.Reload(context.Background(), other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found %v, wanted that a new one must be there", err)
	}
	if n := len(s.Certificates()); n != 1 {
		t.Errorf("found %d certificates after a change that was refused", n)
	}
	cert, key, roots := certificate(t, time.Now().Add(time.Hour))
	for from, to := range map[string]string{cert: missing.Cert, key: missing.Key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReloadCertificate(context.Background(), missing.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := greet(t, s.addrs[1], &tls.Config{RootCAs: roots, ServerName: "localhost"}); err != nil {
		t.Error(err)
	}
}

// TestCertificateExpired: clients judge the dates.
func TestCertificateExpired(t *testing.T) {
	cert, key, _ := certificate(t, time.Now().Add(-time.Hour))
	s := serve(t, secure(config.Certificate{Cert: cert, Key: key}))
	if _, err := greet(t, s.addrs[1], &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Error(err)
	}
	s.logs.await(t, "a certificate has expired: clients will refuse it", 1)
	in := s.Certificates()
	if len(in) != 1 || !in[0].Loaded || in[0].NotAfter == nil || time.Since(*in[0].NotAfter) < time.Hour {
		t.Errorf("found %+v", in)
	}
	if err := Validate(context.Background(), s.Config(), Options{}); err != nil {
		t.Errorf("found %v, wanted a warning alone", err)
	}
}

// TestCertificateReload: a renewal, and a reload that finds the same or half of it, keep
// listeners, settings and sessions.
func TestCertificateReload(t *testing.T) {
	cert, key, roots := certificate(t, time.Now().Add(time.Hour))
	cfg := secure()
	cfg.Listeners[1].TLS = config.TLS{Cert: cert, Key: key, MinVersion: "1.3"}
	s := serve(t, cfg)
	client := &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	if _, err := greet(t, s.addrs[1], &tls.Config{RootCAs: roots, ServerName: "localhost",
		MaxVersion: tls.VersionTLS12}); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("found %v, wanted that TLS 1.2 is too old", err)
	}
	if _, err := greet(t, s.addrs[1], client); err != nil {
		t.Fatal(err)
	}
	newCert, newKey, newRoots := certificate(t, time.Now().Add(2*time.Hour))
	if err := os.Rename(newCert, cert); err != nil {
		t.Fatal(err)
	}
	if err := s.ReloadCertificate(context.Background(), cert); err == nil ||
		!strings.Contains(err.Error(), "does not match") {
		t.Errorf("found %v, wanted that the pair does not match", err)
	}
	change, err := s.Reload(context.Background(), s.Config())
	if err != nil || len(change.Failed) != 1 ||
		!strings.HasPrefix(change.Failed[0], "TLS: cert "+cert+", key "+key+": ") {
		t.Errorf("found %q, %v, wanted that the old one stays, and why", change.Failed, err)
	}
	if state, err := greet(t, s.addrs[1], client); err != nil || !state.DidResume {
		t.Errorf("found %v, resumed %v", err, state.DidResume)
	}
	if err := os.Rename(newKey, key); err != nil {
		t.Fatal(err)
	}
	if err := s.ReloadCertificate(context.Background(), key); err != nil {
		t.Error(err)
	}
	if change, err := s.Reload(context.Background(), s.Config()); err != nil || len(change.Failed) > 0 {
		t.Errorf("found %q, %v, wanted nothing that fails", change.Failed, err)
	}
	if _, err := greet(t, s.addrs[1], &tls.Config{RootCAs: newRoots, ServerName: "localhost"}); err != nil {
		t.Errorf("found %v, wanted the new certificate", err)
	}
	if files := s.CertificateFiles(); len(files) != 2 || len(files[cert]) != 64 {
		t.Errorf("found the files %v", files)
	}
}
