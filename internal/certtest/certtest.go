// Package certtest issues certificates for tests that talk TLS with programs.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Files are a certificate for localhost, 127.0.0.1 and the names given, which a client can present
// as well, and that of the authority which has issued it. Both are valid for an hour, and gone at
// the test's end.
type Files struct {
	CA, Cert, Key string         // paths, PEM
	Pool          *x509.CertPool // has the authority
}

// Issue makes an authority and a certificate.
func Issue(t testing.TB, names ...string) Files {
	t.Helper()
	dir := t.TempDir()
	p := Files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"),
		x509.NewCertPool()}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	ca, caKey := issue(t, p.CA, &template, nil, nil)
	p.Pool.AddCert(ca)
	template.SerialNumber, template.Subject.CommonName, template.IsCA = big.NewInt(2), "localhost", false
	template.DNSNames, template.IPAddresses = append(names, "localhost"), []net.IP{net.IPv4(127, 0, 0, 1)}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, private := issue(t, p.Cert, &template, ca, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(p.Key, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// issue writes a certificate to a file; without a parent it signs itself.
func issue(t testing.TB, file string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (
	*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, private
}
