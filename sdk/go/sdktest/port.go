package sdktest

import (
	"slices"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Port is a listener that the plugin has opened.
type Port struct {
	Endpoint string // with the port that it got

	server *Server
	handle int32
}

// Ports lists the plugin's listeners, oldest first.
func (s *Server) Ports() []*Port { return slices.Clone(s.ports) }

// Accept opens a connection at the listener, as Server.Accept does.
func (p *Port) Accept() *Conn { return p.server.accept(p) }

func (s *Server) portOf(handle int32) *Port {
	for _, p := range s.ports {
		if p.handle == handle {
			return p
		}
	}
	return nil
}

func (s imports) Listen(endpoint string) int32 {
	s.Calls++
	switch {
	case s.phase == saving:
		return status(wirehost.ErrNotNow)
	case s.options.Deny:
		return status(wirehost.ErrNotAllowed)
	case !strings.Contains(endpoint, "://"):
		return status(wirehost.ErrInvalid)
	}
	if address, isFree := strings.CutSuffix(endpoint, ":0"); isFree {
		endpoint = address + ":40001"
	}
	for _, p := range s.ports {
		if p.Endpoint == endpoint && s.phase == restoring {
			return p.handle
		} else if p.Endpoint == endpoint {
			return status(wirehost.ErrBusy)
		}
	}
	s.last++
	s.ports = append(s.ports, &Port{Endpoint: endpoint, server: s.Server, handle: s.last})
	return s.last
}

func (s imports) StopListening(listener int32) int32 {
	s.Calls++
	p := s.portOf(listener)
	switch {
	case s.phase != running:
		return status(wirehost.ErrNotNow)
	case p == nil:
		return status(wirehost.ErrNoConnection)
	}
	s.ports = slices.DeleteFunc(s.ports, func(o *Port) bool { return o == p })
	return ok
}

func (s imports) Listener(conn int32) int32 {
	c := s.getter(conn)
	if c == nil {
		return status(wirehost.ErrNoConnection)
	}
	return c.listener
}
