// Command http3 is an HTTP/3 server of github.com/quic-go/quic-go, as a plugin: QUIC
// runs in the guest, over its datagram socket.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // the plugin takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	Name string `json:"name"` // of the server, in its certificate
	Cert string `json:"cert"` // PEM; "": one of its own, made at each start
	Key  string `json:"key"`  // PEM
	Idle int    `json:"idle"` // seconds of silence that end a connection
}

func init() {
	s := &http3.Server{Handler: routes()}
	start := func(r *wirehost.Reactor) error { return configure(s, r) }
	wirehost.Register(wirenet.ServePacket(s.Serve, wirenet.Options{Name: "http3", Start: start}))
}

func main() {}

// configure reads the configuration.
func configure(s *http3.Server, r *wirehost.Reactor) error {
	c := settings{Name: "localhost", Idle: 30}
	if err := r.Config(&c); err != nil {
		return err
	}
	if c.Idle < 1 {
		return fmt.Errorf("config.idle: found %d, wanted 1 second at least", c.Idle)
	}
	var cert tls.Certificate
	var err error
	if c.Cert == "" {
		cert, err = selfSigned(c.Name)
	} else {
		cert, err = tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	}
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	s.TLSConfig = http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}})
	idle := time.Duration(c.Idle) * time.Second
	s.QUICConfig = &quic.Config{MaxIdleTimeout: idle, HandshakeIdleTimeout: idle}
	return r.Logf(wirehost.LevelInfo, "certificate: SHA-256 %x", sha256.Sum256(cert.Certificate[0]))
}

// selfSigned makes a certificate for a name, and for this machine.
func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), DNSNames: []string{name}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// routes are what the server has: a greeting, and what is posted to /echo.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s\n", r.Proto)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler) // resets the stream
		}
	})
	return mux
}
