package credentials

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/bounded"
)

// authority signs certificates.
type authority struct {
	*testing.T
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{T: t, key: newKey(t, false)}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, nil, a.key)
	return a
}

func newKey(t *testing.T, isRSA bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if isRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key crypto.Signer) *x509.Certificate {
	a.Helper()
	if parent == nil {
		parent = template
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return cert
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pem is the authority's own certificate.
func (a *authority) pem() []byte { return block("CERTIFICATE", a.cert.Raw) }

// issue gives the texts of a certificate for names, and of its key.
func (a *authority) issue(key crypto.Signer, notAfter time.Time, names ...string) (cert, private []byte) {
	a.Helper()
	c := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "common"}, DNSNames: names,
		NotBefore: notAfter.Add(-2 * time.Hour), NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	return block("CERTIFICATE", c.Raw), block("PRIVATE KEY", der)
}

// rig is a store with files, and its log.
type rig struct {
	*testing.T
	*Store
	*authority
	dir string
	now time.Time
	log bytes.Buffer
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, dir: t.TempDir(), now: time.Now().Truncate(time.Second), authority: newAuthority(t, "one")}
	r.Store = New(Options{
		Files: &bounded.Reader{}, Wall: func() time.Time { return r.now },
		Logger: hclog.New(&hclog.LoggerOptions{Output: &r.log}),
	})
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name string, text []byte) string {
	r.T.Helper()
	if err := os.WriteFile(r.path(name), text, 0o600); err != nil {
		r.Fatal(err)
	}
	return r.path(name)
}

func (r *rig) Fatal(args ...any) { r.T.Helper(); r.T.Fatal(args...) }

func (r *rig) Helper() { r.T.Helper() }

// pair writes a certificate for names, and its key.
func (r *rig) pair(name string, isRSA bool, names ...string) Pair {
	r.Helper()
	cert, key := r.issue(newKey(r.T, isRSA), r.now.Add(time.Hour), names...)
	return Pair{r.write(name+".pem", cert), r.write(name+".key", key)}
}

func (r *rig) server(to Settings) *tls.Config {
	r.Helper()
	if to.MinVersion == 0 {
		to.MinVersion = tls.VersionTLS12
	}
	c, err := r.Server(context.Background(), to, true)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *rig) reload(path string) {
	r.Helper()
	if err := r.Reload(context.Background(), path); err != nil {
		r.Fatal(err)
	}
}

// said tells how often the log has a text.
func (r *rig) said(text string) int { return strings.Count(r.log.String(), text) }

// client is one that trusts the authority.
func (r *rig) client(name string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(r.cert)
	return &tls.Config{ServerName: name, RootCAs: roots, Time: func() time.Time { return r.now }}
}

// talk shakes hands, and has a byte come so that tickets have been read.
func talk(server, client *tls.Config) (tls.ConnectionState, error) {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer ln.Close()
	failed := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = c.Write([]byte("x"))
			err = errors.Join(err, c.Close())
		}
		failed <- err
	}()
	tcp, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer tcp.Close()
	c := tls.Client(tcp, client)
	if n, readErr := c.Read(make([]byte, 1)); n == 0 { // with the byte may come io.EOF
		err = readErr
	}
	return c.ConnectionState(), errors.Join(err, <-failed)
}

// shown is the certificate that a client gets.
func shown(t *testing.T, server, client *tls.Config) *x509.Certificate {
	t.Helper()
	state, err := talk(server, client)
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0]
}

// TestChoice: each client gets the certificate for the name that it asks for, of those
// that it can verify.
func TestChoice(t *testing.T) {
	r := newRig(t)
	server := r.server(Settings{Pairs: []Pair{
		r.pair("first", false, "first.example"),
		r.pair("wild", false, "*.a.example"),
		r.pair("exact", false, "x.a.example", "b.example"),
		r.pair("both-ec", false, "both.example"),
		r.pair("both-rsa", true, "both.example"),
		r.pair("first-rsa", true, "first.example"),
	}})
	onlyRSA := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for _, c := range []struct {
		asks  string
		rsa   bool
		names string
		kind  x509.PublicKeyAlgorithm
	}{
		{"first.example", false, "first.example", x509.ECDSA},
		{"", false, "first.example", x509.ECDSA},
		{"", true, "first.example", x509.RSA},
		{"other.example", false, "first.example", x509.ECDSA},
		{"other.example", true, "first.example", x509.RSA},
		{"a.example", false, "first.example", x509.ECDSA},
		{"y.a.example", false, "*.a.example", x509.ECDSA},
		{"z.y.a.example", false, "first.example", x509.ECDSA},
		{"x.a.example", false, "b.example x.a.example", x509.ECDSA},
		{"X.A.Example", false, "b.example x.a.example", x509.ECDSA},
		{"b.example", false, "b.example x.a.example", x509.ECDSA},
		{"both.example", false, "both.example", x509.ECDSA},
		{"both.example", true, "both.example", x509.RSA},
	} {
		client := r.client(c.asks)
		client.InsecureSkipVerify = true // what is asked for is not what all of them have
		if c.rsa {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, onlyRSA
		}
		got := shown(t, server, client)
		if all := strings.Join(names(got), " "); all != c.names || got.PublicKeyAlgorithm != c.kind {
			t.Errorf("%q, RSA alone %v: found %s of %v, wanted %s of %v", c.asks, c.rsa, all, got.PublicKeyAlgorithm,
				c.names, c.kind)
		}
	}
	client := r.client("b.example")
	client.MaxVersion, client.CipherSuites = tls.VersionTLS12, onlyRSA
	if _, err := talk(server, client); err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Errorf("a client that can verify none for the name: found %v", err)
	}
}

// TestRenewal: what is whole is taken over, and what is not is left until it is. Sessions
// are resumed across it.
func TestRenewal(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newRig(t)
		p := r.pair("c", false, "a.example")
		server := r.server(Settings{Pairs: []Pair{p}})
		client := r.client("a.example")
		client.MaxVersion = version
		old := shown(t, server, client)
		resuming := client.Clone()
		resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		shown(t, server, resuming)

		cert, key := r.issue(newKey(t, false), r.now.Add(30*time.Minute), "a.example")
		r.write("c.pem", cert)
		err := r.Reload(context.Background(), p.Cert)
		if err == nil || !strings.Contains(err.Error(), "does not match") || r.Infos()[0].Err == "" {
			t.Errorf("found %v, wanted that key and certificate do not match; %+v", err, r.Infos())
		}
		if now := shown(t, server, client); !now.Equal(old) {
			t.Error("half a pair was taken over")
		}
		r.write("c.key", key)
		r.reload(p.Key)
		if now := shown(t, server, client); now.Equal(old) {
			t.Error("the pair was not taken over")
		}
		if in := r.Infos()[0]; in.Err != "" || !in.Loaded ||
			!in.NotAfter.Equal(r.now.Add(30*time.Minute).Truncate(time.Second)) {
			t.Errorf("found %+v", in)
		}
		if state, err := talk(server, resuming); err != nil || !state.DidResume {
			t.Errorf("%x: found %v, resumed %v, wanted that a session outlives its certificate", version, err,
				state.DidResume)
		}
		if again := r.server(Settings{Pairs: []Pair{p}}); again != server {
			t.Error("found another configuration for the same settings: its tickets have other keys")
		}
		r.reload(p.Cert)
		if n := r.said("taken over"); n != 1 {
			t.Errorf("found it told %d times:\n%s", n, r.log.String())
		}
	}
}

// TestClientCA: who has a certificate of it gets in. Once it is another, nobody does by a
// session of before.
func TestClientCA(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newRig(t)
		two := newAuthority(t, "two")
		ca := r.write("ca.pem", slices.Concat(r.pem(), two.pem()))
		server := r.server(Settings{Pairs: []Pair{r.pair("c", false, "a.example")}, ClientCA: ca})
		client := r.client("a.example")
		client.MaxVersion = version
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if _, err := talk(server, client); err == nil {
			t.Error("a client without a certificate got in")
		}
		text, key := two.issue(newKey(t, false), r.now.Add(time.Hour), "client")
		own, err := tls.X509KeyPair(text, key)
		if err != nil {
			t.Fatal(err)
		}
		client.Certificates = []tls.Certificate{own}
		shown(t, server, client)
		if state, err := talk(server, client); err != nil || !state.DidResume {
			t.Errorf("found %v, resumed %v", err, state.DidResume)
		}
		r.write("ca.pem", r.pem())
		r.reload(ca)
		if state, err := talk(server, client); err == nil {
			t.Errorf("%x: a client of an authority that is no more got in, resumed %v", version, state.DidResume)
		}
		r.write("ca.pem", []byte("no certificate"))
		if err := r.Reload(context.Background(), ca); err == nil ||
			!strings.Contains(err.Error(), "found no certificate in") {
			t.Errorf("found %v", err)
		}
		r.write("ca.pem", two.pem())
		r.reload(ca)
		shown(t, server, client)
	}
}

// TestNewTickets: with another authority a session is not even looked at, whatever
// crypto/tls would say of it.
func TestNewTickets(t *testing.T) {
	r := newRig(t)
	ca := r.write("ca.pem", r.pem())
	server := r.server(Settings{Pairs: []Pair{r.pair("c", false, "a.example")}, ClientCA: ca, Optional: true})
	client := r.client("a.example")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	shown(t, server, client)
	r.write("ca.pem", slices.Concat(r.pem(), newAuthority(t, "two").pem()))
	r.reload(ca)
	if state, err := talk(server, client); err != nil || state.DidResume {
		t.Errorf("found %v, resumed %v, wanted a new session", err, state.DidResume)
	}
}

// TestShownNames: a certificate without names is shown by its common name.
func TestShownNames(t *testing.T) {
	r := newRig(t)
	r.server(Settings{Pairs: []Pair{r.pair("a", false, "a.example"), r.pair("b", false)}})
	if in := r.Infos(); !slices.Equal(in[0].Names, []string{"a.example"}) ||
		!slices.Equal(in[1].Names, []string{"common"}) {
		t.Errorf("found %+v", in)
	}
}

// TestLenient: at a start, what can't be loaded takes handshakes down, until it can be.
func TestLenient(t *testing.T) {
	r := newRig(t)
	good := r.pair("good", false, "good.example")
	missing := Pair{r.path("missing.pem"), r.path("missing.key")}
	_, err := r.Server(context.Background(), Settings{Pairs: []Pair{missing}}, false)
	if !errors.Is(err, fs.ErrNotExist) || len(r.Infos()) != 0 {
		t.Errorf("found %v, wanted that the file is not there", err)
	}
	server := r.server(Settings{Pairs: []Pair{missing, good}})
	shown(t, server, r.client("good.example"))
	for _, name := range []string{"", "missing.example", "other.example"} {
		client := r.client(name)
		client.InsecureSkipVerify = true
		if _, err := talk(server, client); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: found %v, wanted the alert unrecognized_name", name, err)
		}
	}
	if in := r.Infos(); len(in) != 2 || in[1].Loaded || in[1].Err == "" {
		t.Errorf("found %+v", in)
	}
	r.pair("missing", false, "missing.example")
	r.reload(missing.Cert)
	shown(t, server, r.client("missing.example"))
	if r.said("can't be loaded") != 1 || r.said("taken over") != 1 {
		t.Errorf("found\n%s", r.log.String())
	}

	ca := r.path("ca.pem")
	server = r.server(Settings{Pairs: []Pair{good}, ClientCA: ca})
	if _, err := talk(server, r.client("good.example")); err == nil || !strings.Contains(err.Error(), "unrecognized") {
		t.Errorf("without authorities: found %v", err)
	}
	// At a later look it stays, whoever asks.
	if err := os.Remove(good.Cert); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Server(context.Background(), Settings{Pairs: []Pair{good}}, false); err != nil {
		t.Errorf("found %v, wanted that the one that was there stays", err)
	}
}

// TestDates: an expired certificate is served, and told once a day.
func TestDates(t *testing.T) {
	r := newRig(t)
	r.server(Settings{Pairs: []Pair{r.pair("c", false, "a.example")}})
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {time.Hour, 0}, {time.Second, 1}, {time.Hour, 1}, {23 * time.Hour, 2}, {time.Hour, 2}} {
		r.now = r.now.Add(step.after)
		r.Remind()
		if n := r.said("has expired"); n != step.want {
			t.Errorf("at %v: found it told %d times, wanted %d", r.now, n, step.want)
		}
	}
	server := r.server(Settings{Pairs: []Pair{r.pair("new", false, "b.example")}})
	r.now = r.now.Add(-3 * time.Hour)
	r.Remind()
	if r.said("not valid yet") != 1 {
		t.Errorf("found\n%s", r.log.String())
	}
	client := r.client("b.example")
	if _, err := talk(server, client); err == nil || !strings.Contains(err.Error(), "not yet valid") {
		t.Errorf("the client: found %v", err)
	}
}

// TestKeep: what nobody has any more is forgotten, and watched no more.
func TestKeep(t *testing.T) {
	r := newRig(t)
	a, b := r.pair("a", false, "a.example"), r.pair("b", false, "b.example")
	ca, roots := r.write("ca.pem", r.pem()), r.write("roots.pem", r.pem())
	first := Settings{Pairs: []Pair{a}, ClientCA: ca, MinVersion: tls.VersionTLS12}
	r.server(first)
	r.server(Settings{Pairs: []Pair{a, b}})
	pool, err := r.Pool(context.Background(), roots)
	if err != nil || pool.Client().RootCAs == nil {
		t.Fatal(err)
	}
	if n := len(r.Files()); n != 6 {
		t.Errorf("found %d files", n)
	}
	r.Keep([]Settings{first}, nil)
	for path, sum := range r.Files() {
		if len(sum) != 64 || path == b.Cert || path == roots {
			t.Errorf("found %s with the sum %q", path, sum)
		}
	}
	if n := len(r.Files()); n != 3 || len(r.servers) != 1 {
		t.Errorf("found %d files, %d servers", n, len(r.servers))
	}
}

// TestErrorsQuoteNothing: what stands in a file stands in no error.
func TestErrorsQuoteNothing(t *testing.T) {
	r := newRig(t)
	cert, key := r.issue(newKey(t, false), r.now, "a.example")
	odd := block("SECRET WORDS", []byte("x"))
	for name, c := range map[string]struct{ cert, key []byte }{
		"no PEM":             {[]byte("secret words"), key},
		"another block":      {odd, key},
		"another key block":  {cert, odd},
		"certificate as key": {cert, cert},
		"key as certificate": {key, key},
		"bad certificate":    {block("CERTIFICATE", []byte("secret words")), key},
		"bad key":            {cert, block("PRIVATE KEY", []byte("secret words"))},
		"encrypted key":      {cert, block("ENCRYPTED PRIVATE KEY", []byte("secret words"))},
	} {
		p := Pair{r.write("c", c.cert), r.write("k", c.key)}
		_, err := r.Server(context.Background(), Settings{Pairs: []Pair{p}}, false)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "secret") ||
			!strings.Contains(err.Error(), p.Cert) {
			t.Errorf("%s: found %v", name, err)
		}
	}
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	const good = "0123456789abcdef"
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string // in the error
	}{
		"good":         {good + "\n", 0o600, ""},
		"read-only":    {"  " + good, 0o400, ""},
		"for others":   {good, 0o604, "found mode 0604"},
		"for a group":  {good, 0o640, "found mode 0640"},
		"short":        {"secret", 0o600, "found 6 characters"},
		"empty":        {"\n", 0o600, "found 0 characters"},
		"long":         {strings.Repeat("a", maxToken+1), 0o600, "characters"},
		"endless":      {strings.Repeat("a", 4*maxToken), 0o600, "found a file of more"},
		"several":      {"secret secret secret", 0o600, "more than one word"},
		"no character": {"secret\x00secretsecret", 0o600, "more than one word"},
	} {
		for _, err := range []error{os.RemoveAll(file), os.WriteFile(file, []byte(c.text), c.mode),
			os.Chmod(file, c.mode)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := ReadToken(context.Background(), &bounded.Reader{}, file)
		switch {
		case c.want == "" && (err != nil || got != good):
			t.Errorf("%s: found %q, %v", name, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: found %v, wanted %q", name, err, c.want)
		}
	}
}
