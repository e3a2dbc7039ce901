package admin

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestToken: on TCP a request must bear the token, or come with a certificate that was
// verified. It holds at once when it changes.
func TestToken(t *testing.T) {
	const good = "0123456789abcdef"
	token := good
	s := New(Options{Host: &fake{}, Authority: "127.0.0.1:1", Token: func() string { return token }})
	ask := func(authorization string, state *tls.ConnectionState) (int, http.Header, string) {
		r := httptest.NewRequest("GET", "http://127.0.0.1:1/healthz", nil)
		r.TLS = state
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		return w.Code, w.Header(), w.Body.String()
	}
	for authorization, want := range map[string]int{
		"":                   401,
		"Bearer":             401,
		"Bearer ":            401,
		"Basic " + good:      401,
		"Bearer x" + good:    401,
		"Bearer " + good[:9]: 401,
		"Bearer " + good:     200,
		"bearer  " + good:    200,
	} {
		code, header, body := ask(authorization, nil)
		if code != want || code == 401 && (header.Get("WWW-Authenticate") != "Bearer" || strings.Contains(body, good)) {
			t.Errorf("%q: found %d, %v, %s", authorization, code, header, body)
		}
	}
	if code, _, _ := ask("", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}); code != 200 {
		t.Errorf("with a certificate: found %d", code)
	}
	if code, _, _ := ask("", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}); code != 401 {
		t.Errorf("with a certificate that nobody vouches for: found %d", code)
	}
	token = "fedcba9876543210"
	if code, _, _ := ask("Bearer "+good, nil); code != 401 {
		t.Errorf("with the token of before: found %d", code)
	}
	token = ""
	if code, _, _ := ask("Bearer ", nil); code != 401 {
		t.Errorf("with no token at all: found %d", code)
	}
}

// TestPagesByTLS: a page of another server gets nowhere by TLS either, where browsers send
// certificates by themselves.
func TestPagesByTLS(t *testing.T) {
	s := New(Options{Host: &fake{}, Authority: "0.0.0.0:1"})
	for origin, want := range map[string]int{
		"": 200, "https://wirehost.example": 200, "https://other.example": 403, "http://wirehost.example": 403,
	} {
		r := httptest.NewRequest("GET", "https://wirehost.example/healthz", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		if s.http.Handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("from %q: found %d, wanted %d", origin, w.Code, want)
		}
	}
}

// TestComplaintsAreSeldom: what whoever reaches the port can bring about is a line a second.
func TestComplaintsAreSeldom(t *testing.T) {
	var log strings.Builder
	l := &seldom{log: hclog.New(&hclog.LoggerOptions{Output: &log})}
	for range 100 {
		if _, err := l.Write([]byte("http: TLS handshake error\n")); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n < 1 || n > 3 {
		t.Errorf("found %d lines", n)
	}
}
