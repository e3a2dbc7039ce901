package sdktest

import (
	"slices"
	"strconv"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Port is a listener that the plugin has opened.
type Port struct {
	Endpoint string // with the port that it got

	server *Server
	handle int32
	asked  string         // as the plugin has written it
	by     wirehost.Guest // the version that has opened it
}

// Ports lists the plugin's listeners, oldest first.
func (s *Server) Ports() []*Port { return slices.Clone(s.ports) }

// Accept opens a connection at the listener, as Server.Accept does; nil too where the plugin
// has closed it.
func (p *Port) Accept() *Conn {
	if p.server.portOf(p.handle) == nil {
		return nil
	}
	return p.server.accept(p)
}

func (s *Server) portOf(handle int32) *Port {
	for _, p := range s.ports {
		if p.handle == handle {
			return p
		}
	}
	return nil
}

func (s imports) Listen(endpoint string) int32 {
	scheme, _, _ := strings.Cut(endpoint, "://")
	switch code := s.refusal(endpoint, scheme+"://"); {
	case code < 0:
		return code
	case scheme == "tls" && !s.options.TLS:
		return status(wirehost.ErrNotSupported)
	case scheme != "tcp" && scheme != "tls" && scheme != "unix":
		return status(wirehost.ErrInvalid)
	}
	p := &Port{Endpoint: endpoint, server: s.Server, asked: endpoint, by: s.guest}
	if n := slices.IndexFunc(s.moving, func(o *Port) bool { return o.asked == endpoint }); n >= 0 {
		o := s.moving[n]
		s.moving = slices.Delete(s.moving, n, n+1)
		return o.handle
	}
	if slices.ContainsFunc(s.ports, func(o *Port) bool { return o.Endpoint == endpoint }) {
		return status(wirehost.ErrBusy)
	}
	if address, isFree := strings.CutSuffix(endpoint, ":0"); isFree {
		s.free++
		p.Endpoint = address + ":" + strconv.Itoa(firstFree+s.free)
	}
	s.last++
	p.handle = s.last
	s.ports = append(s.ports, p)
	return p.handle
}

// firstFree is the port before the first one that the system chooses.
const firstFree = 40000

func (s imports) StopListening(listener int32) int32 {
	s.Calls++
	p := s.portOf(listener)
	switch {
	case p == nil:
		return status(wirehost.ErrNoConnection)
	case s.phase != running && !(s.phase == starting && p.by == s.guest):
		return status(wirehost.ErrNotNow)
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
