package reactor_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// TestDatagramPromises runs every row of what a datagram socket promises on each backend.
func TestDatagramPromises(t *testing.T) {
	networks := []string{"udp", "unixgram"}
	reactortest.CheckColumns(t, "S", networks...)
	for _, sys := range []string{"epoll", "portable", "memory"} {
		for _, network := range networks {
			t.Run(sys+"/"+network, func(t *testing.T) {
				if sys == "epoll" && !reactor.HasEpoll {
					t.Skip("this system has no epoll")
				}
				b := reactortest.DatagramBackend{Unix: network == "unixgram", Ahead: sys == "portable"}
				var mem *memnet.Sys
				b.New = func(t *testing.T) *reactor.Reactor {
					cfg := reactor.Config{Loops: 1, Backend: sys}
					if sys == "memory" {
						mem = memnet.New(memnet.Options{})
						cfg.Backend, cfg.Sys = "", mem
					}
					return datagramReactor(t, cfg)
				}
				b.Dial = dialDatagrams
				if sys == "memory" {
					b.Column = reactortest.Column{Name: network, Kind: "S"}
					b.Limit = func(n int) { mem.LimitSends(n) }
					b.Group = func(t *testing.T, group string, port uint16, payload []byte) error {
						c := newMemoryClient(t, mem, "udp", fmt.Sprintf("%s:%d", group, port))
						defer c.Close()
						return c.Send(payload)
					}
					b.Dial = func(t *testing.T, network, address string) reactortest.DatagramClient {
						return newMemoryClient(t, mem, network, address)
					}
				}
				reactortest.DatagramSuite(t, b)
			})
		}
	}
}

func datagramReactor(t *testing.T, cfg reactor.Config) *reactor.Reactor {
	t.Helper()
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mem, _ := cfg.Sys.(*memnet.Sys)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if mem != nil && (mem.OpenFDs() != 0 || len(mem.Misuse()) > 0) {
			t.Errorf("%d descriptors are left; misuse: %q", mem.OpenFDs(), mem.Misuse())
		}
	})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// netClient is a connected socket of package net's.
type netClient struct{ net.Conn }

func dialDatagrams(t *testing.T, network, address string) reactortest.DatagramClient {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return netClient{c}
}

func (c netClient) Send(p []byte) error { _, err := c.Write(p); return err }

func (c netClient) Receive() ([]byte, error) {
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	return buf[:n], err
}

// memoryClient is a peer in memory.
type memoryClient struct {
	sys *memnet.Sys
	*memnet.DatagramPeer
	to string
}

func newMemoryClient(t *testing.T, sys *memnet.Sys, network, address string) memoryClient {
	t.Helper()
	at := "10.0.0.7:0"
	if network == "unixgram" {
		at = "a client"
	}
	p, err := sys.DatagramPeer(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return memoryClient{sys, p, address}
}

func (c memoryClient) Send(p []byte) error { return c.DatagramPeer.Send(c.to, p) }

func (c memoryClient) Receive() ([]byte, error) {
	c.sys.Settle()
	d, err := c.DatagramPeer.Receive()
	if err == nil && d.Peer.String() != c.to {
		err = syscall.EADDRNOTAVAIL
	}
	return d.Payload, err
}
