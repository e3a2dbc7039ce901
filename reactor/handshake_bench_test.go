package reactor

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// BenchmarkHandshake is a TLS connection for each message of a byte, with both ends: by
// package net, and by each of the layers.
func BenchmarkHandshake(b *testing.B) {
	cert, pool := testCertificate(b)
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	reactors := func(library bool) func(*testing.B) string {
		return func(b *testing.B) string {
			echo := factoryFunc(func(Transport) (Protocol, error) {
				return &protocolFuncs{data: func(t Transport, p []byte) { t.Write(p) }}, nil
			})
			_, ln := serve(b, Config{Loops: 1, LibraryTLS: library}, "tls://127.0.0.1:0", echo,
				ListenOptions{Loop: -1, TLS: server})
			return ln.Endpoint().address()
		}
	}
	for _, k := range []struct {
		name  string
		serve func(*testing.B) string
	}{{"net", func(b *testing.B) string { return echoTLS(b, server) }}, {"library", reactors(true)},
		{"records", reactors(false)}} {
		for _, resumed := range []bool{false, true} {
			name := map[bool]string{false: "full", true: "resumed"}[resumed]
			b.Run(k.name+"/"+name, func(b *testing.B) {
				addr := k.serve(b)
				client := &tls.Config{RootCAs: pool, ServerName: "localhost"}
				if resumed {
					client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				}
				once := func() {
					c, err := tls.Dial("tcp", addr, client)
					if err != nil {
						b.Fatal(err)
					}
					defer c.Close()
					if _, err := c.Write([]byte("a")); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						b.Fatal(err)
					}
				}
				once()
				b.ReportAllocs()
				for b.Loop() {
					once()
				}
			})
		}
	}
}

// echoTLS is package net's server of the same, which ends with the benchmark.
func echoTLS(b *testing.B, cfg *tls.Config) string {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				_, _ = io.Copy(c, c) // the client ends it
			}(c)
		}
	}()
	return ln.Addr().String()
}
