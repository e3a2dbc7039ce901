package host

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// TestStartTLSClient: a guest connects in plain text, and goes over to TLS as its client.
func TestStartTLSClient(t *testing.T) {
	cert, key, _ := certificate(t, time.Now().Add(time.Hour))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, ca, records string
		most              uint16
		trusted           bool
	}{
		{"verified", cert, "", tls.VersionTLS13, true},
		{"verified by the library", cert, "library", tls.VersionTLS13, true},
		{"verified, TLS 1.2", cert, "", tls.VersionTLS12, true},
		{"unknown authority", "", "", tls.VersionTLS13, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			served := make(chan error, 1)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				served <- serveSTARTTLS(ln, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: c.most})
			}()
			p := config.Plugin{Module: "testdata/starts_tls.wasm", Isolation: config.IsolationShared}
			p.Allow.Connect, p.Allow.CA = []string{"tcp://127.0.0.1:*"}, c.ca
			cfg := configuration(p)
			cfg.Reactor.TLSRecords = c.records
			s := serve(t, cfg)
			conn := dial(t, s.addrs[0])
			send(t, conn, "tcp://"+ln.Addr().String())
			want := []int32{0, 3000}
			if !c.trusted {
				want[1] = 1004
			}
			for _, w := range want {
				if got := answer(t, conn); got != w {
					t.Fatalf("found %d, wanted %d", got, w)
				}
			}
			if err := <-served; (err == nil) != c.trusted {
				t.Errorf("the server: %v", err)
			}
			if !c.trusted {
				return
			}
			text := make([]byte, len("encrypted"))
			if _, err := io.ReadFull(conn, text); err != nil || string(text) != "encrypted" {
				t.Errorf("found %q, %v", text, err)
			}
			if got := answer(t, conn); got != 1000 {
				t.Errorf("found %d, wanted an end in order", got)
			}
		})
	}
}

// serveSTARTTLS serves one connection in the manner of SMTP.
func serveSTARTTLS(ln net.Listener, cfg *tls.Config) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "STARTTLS\r\n" {
		return errors.Join(err, errors.New("found "+line))
	}
	if _, err := io.WriteString(c, "220\r\n"); err != nil {
		return err
	}
	over := tls.Server(c, cfg)
	line, err := bufio.NewReader(over).ReadString('\n')
	if err != nil || line != "behind\r\n" {
		return errors.Join(err, errors.New("found "+line))
	}
	if _, err := io.WriteString(over, "encrypted"); err != nil {
		return err
	}
	if err := over.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, over)
	return err
}
