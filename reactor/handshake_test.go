package reactor

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestHandshakeCauses: each failure is counted under what has caused it, by real clients.
// It pins what crypto/tls sends and says.
func TestHandshakeCauses(t *testing.T) {
	cert, pool := testCertificate(t)
	other, otherPool := testCertificate(t)
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	none := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}
	asking := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert}
	trusting := func(version uint16, more func(*tls.Config)) func(net.Conn) {
		return func(c net.Conn) {
			cfg := &tls.Config{RootCAs: pool, ServerName: "localhost", MaxVersion: version}
			if more != nil {
				more(cfg)
			}
			tc := tls.Client(c, cfg)
			tc.Handshake()
			tc.Read(make([]byte, 1))
		}
	}
	for name, tt := range map[string]struct {
		server *tls.Config
		talk   func(uint16) func(net.Conn)
		want   string
	}{
		"no certificate": {none, func(v uint16) func(net.Conn) { return trusting(v, nil) }, "no_certificate"},
		"old version": {&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
			func(uint16) func(net.Conn) { return trusting(tls.VersionTLS12, nil) }, "version"},
		"no cipher": {plain, func(uint16) func(net.Conn) {
			return trusting(tls.VersionTLS12, func(c *tls.Config) {
				c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} // the certificate is ECDSA
			})
		}, "no_common"},
		"no protocol": {&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"a"}},
			func(v uint16) func(net.Conn) {
				return trusting(v, func(c *tls.Config) { c.NextProtos = []string{"b"} })
			}, "no_common"},
		"no client certificate": {asking, func(v uint16) func(net.Conn) { return trusting(v, nil) },
			"client_certificate"},
		"unknown client certificate": {asking, func(v uint16) func(net.Conn) {
			return trusting(v, func(c *tls.Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &other, nil
				}
			})
		}, "client_certificate"},
		"untrusted": {plain, func(v uint16) func(net.Conn) {
			return trusting(v, func(c *tls.Config) { c.RootCAs = otherPool })
		}, "rejected"},
		"garbage": {plain, func(uint16) func(net.Conn) {
			return func(c net.Conn) { c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); c.Read(make([]byte, 1)) }
		}, "not_tls"},
		"probe": {plain, func(uint16) func(net.Conn) { return func(c net.Conn) { c.Close() } }, "went_away"},
		"silence": {plain, func(uint16) func(net.Conn) {
			return func(c net.Conn) { c.Read(make([]byte, 1)) }
		}, "timeout"},
	} {
		for version, number := range tlsVersions {
			t.Run(name+"/"+version, func(t *testing.T) {
				lost := make(chan Reason, 1)
				f := factoryFunc(func(Transport) (Protocol, error) {
					return &protocolFuncs{lost: func(r Reason, _ error) { lost <- r }}, nil
				})
				limit, connect := time.Minute, dial
				if tt.want == "timeout" {
					limit, connect = 300*time.Millisecond, dialBriefly
				}
				_, ln := serve(t, Config{Loops: 1}, "tls://127.0.0.1:0", f,
					ListenOptions{Loop: -1, TLS: tt.server, HandshakeTimeout: limit})
				if c := connect(t, ln); c != nil {
					go tt.talk(number)(c)
				}
				<-lost
				if got := ln.Stats().Handshakes; len(got) != 1 || got[tt.want] != 1 {
					t.Errorf("found %v, wanted one %s", got, tt.want)
				}
			})
		}
	}
}

// TestRefusedRecordsAreTold: who debugs is told of a record that was refused after the handshake.
func TestRefusedRecordsAreTold(t *testing.T) {
	cert, _ := testCertificate(t)
	for version, number := range tlsVersions {
		for level, want := range map[hclog.Level]int{hclog.Debug: 1, hclog.Info: 0} {
			t.Run(version+"/"+level.String(), func(t *testing.T) {
				log := &lockedBuffer{}
				lost := make(chan error, 1)
				f := factoryFunc(func(Transport) (Protocol, error) {
					return &protocolFuncs{lost: func(_ Reason, err error) { lost <- err }}, nil
				})
				logger := hclog.New(&hclog.LoggerOptions{Output: log, Level: level})
				_, ln := serve(t, Config{Loops: 1, Logger: logger}, "tls://127.0.0.1:0", f,
					ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
				c := dial(t, ln)
				client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: number})
				if err := client.Handshake(); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)); err != nil {
					t.Fatal(err)
				}
				err := <-lost
				line := fmt.Sprintf("a TLS record was refused: endpoint=%v peer=tcp://%v", ln.Endpoint(), c.LocalAddr())
				if found := strings.Count(log.String(), line); err == nil || found != want ||
					strings.Contains(log.String(), err.Error()) != (want > 0) {
					t.Errorf("found %d lines of %v, wanted %d:\n%s", found, err, want, log.String())
				}
			})
		}
	}
}

// TestHandshakesAreTold: one line a second, on one line, whatever clients send; the others
// are counted.
func TestHandshakesAreTold(t *testing.T) {
	cert, _ := testCertificate(t)
	log := &lockedBuffer{}
	lost := make(chan Reason)
	f := factoryFunc(func(Transport) (Protocol, error) {
		return &protocolFuncs{lost: func(r Reason, _ error) { lost <- r }}, nil
	})
	_, ln := serve(t, Config{Loops: 1, Logger: hclog.New(&hclog.LoggerOptions{Output: log})}, "tls://127.0.0.1:0", f,
		ListenOptions{Loop: -1, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"a"}}})
	const many = 20
	began := time.Now()
	for range many {
		c := dial(t, ln)
		go tls.Client(c, &tls.Config{InsecureSkipVerify: true,
			NextProtos: []string{"\nforged " + strings.Repeat("x", 200)}}).Handshake()
		<-lost
		c.Close()
	}
	said := strings.Count(log.String(), "a TLS handshake failed")
	if most := 1 + int(time.Since(began)/time.Second); said < 1 || said > most {
		t.Errorf("found %d lines, wanted at most %d", said, most)
	}
	if strings.Contains(log.String(), "\nforged") || strings.Count(log.String(), "x") > maxHandshakeText*said {
		t.Errorf("found\n%s", log.String())
	}
	if got := ln.Stats().Handshakes["no_common"]; got != many {
		t.Errorf("found %d counted", got)
	}
	var h handshakes
	for _, step := range []struct {
		now   time.Duration
		quiet uint64
		ok    bool
	}{{time.Hour, 0, true}, {time.Hour + 1, 0, false}, {time.Hour + 2, 0, false}, {time.Hour + refusalLog, 2, true}} {
		if quiet, ok := h.mayTell(step.now); quiet != step.quiet || ok != step.ok {
			t.Errorf("at %v: found %d, %v", step.now, quiet, ok)
		}
	}
}
