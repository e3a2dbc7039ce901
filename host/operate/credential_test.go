package operate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// renew gives the texts of a certificate for localhost, and of its key.
func renew(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// certified serves an echo behind TLS, with a certificate in a folder.
func certified(t *testing.T, dir string) (*Server, *journal, string) {
	t.Helper()
	log := newJournal(t)
	s, err := New(config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"},
		Plugins: map[string]config.Plugin{"p": {Module: "builtin:echo"}},
		Listeners: []config.Listener{{Endpoint: "tls://127.0.0.1:0", Plugin: "p",
			TLS: config.TLS{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}}},
		Log: config.Log{Level: "info", Format: "text"},
	}, Options{Host: host.Options{Builtin: builtin}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	_, addr, _ := strings.Cut(s.Listeners()[0].String(), "://")
	return s, log, addr
}

// shown tells whether clients get the certificate of a file.
func shown(t *testing.T, addr string, cert []byte) bool {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	block, _ := pem.Decode(cert)
	return string(c.ConnectionState().PeerCertificates[0].Raw) == string(block.Bytes)
}

// TestRenewal: certificates are taken over when both files are there, however they are
// written. Half of a pair is told once, when it has stayed so.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	cert, key := renew(t)
	save(t, filepath.Join(dir, "c.pem"), cert)
	save(t, filepath.Join(dir, "k.pem"), key)
	_, log, addr := certified(t, dir)
	if !shown(t, addr, cert) {
		t.Error("found another certificate")
	}
	newCert, newKey := renew(t)
	save(t, filepath.Join(dir, "c.pem"), newCert)
	log.await("a changed certificate or token is refused; what was there before stays")
	if !shown(t, addr, cert) {
		t.Error("half a pair was taken over")
	}
	save(t, filepath.Join(dir, "k.pem"), newKey)
	log.await("a certificate was taken over")
	if !shown(t, addr, newCert) {
		t.Error("found the old certificate")
	}

	newCert, newKey = renew(t)
	save(t, filepath.Join(dir, "k.pem"), newKey)
	save(t, filepath.Join(dir, "c.pem"), newCert)
	log.await("a certificate was taken over")
	if !shown(t, addr, newCert) {
		t.Error("found the old certificate")
	}
	if n := strings.Count(strings.Join(log.said, "\n"), "is refused"); n != 1 {
		t.Errorf("found %d refusals:\n%s", n, strings.Join(log.said, "\n"))
	}
}

// TestRenewalBySymlink is what Kubernetes does with the files of a secret, whose
// certificate was not there at the start.
func TestRenewalBySymlink(t *testing.T) {
	dir := t.TempDir()
	link := func(to string) {
		t.Helper()
		for _, err := range []error{os.Symlink(to, filepath.Join(dir, "next")),
			os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data"))} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"c.pem", "k.pem"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, log, addr := certified(t, dir)
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := renew(t)
		save(t, filepath.Join(dir, version, "c.pem"), cert)
		save(t, filepath.Join(dir, version, "k.pem"), key)
		link(version)
		log.await("a certificate was taken over")
		if !shown(t, addr, cert) {
			t.Error("found another certificate")
		}
	}
}
