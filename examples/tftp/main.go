// Command tftp is a server of TFTP (RFC 1350) with its options (RFC 2347 to 2349), as a
// plugin: it keeps the files in memory.
package main

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // the plugin takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	Files     map[string]string `json:"files"`      // that are there at the start: text by name
	MaxMemory int               `json:"max_memory"` // bytes of all files
	Transfers int               `json:"transfers"`  // at a time
}

// server answers requests.
type server struct {
	settings
	net     *wirenet.Server
	reactor *wirehost.Reactor
	store   files.Store

	mu     sync.Mutex
	active map[string]bool // clients' addresses: a request may come twice
}

func init() {
	s := &server{active: map[string]bool{}}
	s.net = wirenet.ServePacket(s.serve, wirenet.Options{Name: "tftp", Start: s.start})
	wirehost.Register(s.net)
}

func main() {}

// start reads the configuration.
func (s *server) start(r *wirehost.Reactor) error {
	s.reactor = r
	s.settings = settings{MaxMemory: 16 << 20, Transfers: 100}
	if err := r.Config(&s.settings); err != nil {
		return err
	}
	s.store.Limit = s.MaxMemory
	for name, text := range s.Files {
		if err := s.store.Put(name, []byte(text), time.Now()); err != nil {
			return fmt.Errorf("config.files: %s: %w", name, err)
		}
	}
	return nil
}

// serve takes requests from the socket that the configuration has. Each transfer has a
// socket of its own, as the protocol wants it.
func (s *server) serve(c net.PacketConn) error {
	p := make([]byte, 1<<10)
	for {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return err
		}
		q, err := parseRequest(p[:n])
		if err == nil && !s.begin(from) {
			continue
		}
		if err != nil {
			if _, err := c.WriteTo(failure(err), from); err != nil {
				return err
			}
			continue
		}
		go func() {
			defer s.end(from)
			if err := s.transfer(c.LocalAddr(), from, q); err != nil {
				s.log("%s of %s, for %s: %v", q.op, q.name, from, err)
			}
		}()
	}
}

// begin takes note of a client, and tells whether it may have a transfer. Else it asks
// again, or is one that has asked again already.
func (s *server) begin(from net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[from.String()] || len(s.active) >= s.Transfers {
		return false
	}
	s.active[from.String()] = true
	return true
}

func (s *server) end(from net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, from.String())
}

// transfer does what a client wants, from a new port of the address that it asked.
func (s *server) transfer(local, peer net.Addr, q request) error {
	host, _, err := net.SplitHostPort(local.String())
	if err != nil {
		return err
	}
	c, err := s.net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	defer c.Close()
	t := &transfer{conn: c, peer: peer, request: q}
	if q.op == opRead {
		err = t.send(&s.store)
	} else {
		err = t.receive(&s.store)
	}
	if err != nil {
		_, _ = c.WriteTo(failure(err), peer) // where it does not arrive, the client notices by itself
		return err
	}
	s.log("%s of %s, for %s: done", q.op, q.name, peer)
	return nil
}

func (s *server) log(format string, args ...any) {
	_ = s.reactor.Logf(wirehost.LevelInfo, format, args...) // where even that fails nobody is left to tell
}
