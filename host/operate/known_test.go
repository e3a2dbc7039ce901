package operate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// TestAdministrationByTLS: it asks for the token or a certificate, and takes over another
// token that is saved. A start without its token is none.
func TestAdministrationByTLS(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	cert, key := renew(t)
	save(t, at("c.pem"), cert)
	save(t, at("k.pem"), key)
	cfg := config.Config{
		Admin: config.Admin{Listen: "tcp://127.0.0.1:0", TokenFile: at("token"),
			TLS: config.AdminTLS{Cert: at("c.pem"), Key: at("k.pem"), ClientCA: at("c.pem")}},
		Cache: config.Cache{Dir: "off"}, Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}},
	}
	start := func() (*Server, error) {
		s, err := New(cfg, Options{Host: host.Options{Builtin: builtin}})
		if err != nil {
			t.Fatal(err)
		}
		return s, s.Start(context.Background())
	}
	save(t, at("token"), []byte("secret"))
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "admin.token_file: ") ||
		strings.Contains(err.Error(), "secret") {
		t.Fatalf("found %v, wanted that the token is too short", err)
	}
	save(t, at("token"), []byte("0123456789abcdef\n"))
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	ask := func(token string, own ...tls.Certificate) int {
		t.Helper()
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: own}}}
		r, err := http.NewRequest("GET", "https://"+s.administration.authority+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ found, want int }{
		{ask("0123456789abcdef"), 200}, {ask("no"), 401}, {ask("no", own), 200},
	} {
		if c.found != c.want {
			t.Errorf("found %d, wanted %d", c.found, c.want)
		}
	}
	if err := os.WriteFile(at("token"), []byte("fedcba9876543210"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.changedCredential(at("token")) || ask("fedcba9876543210") != 200 || ask("0123456789abcdef") != 401 {
		t.Error("the token was not taken over")
	}
}
