package transcript

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// accepted are the endpoints of accept, each once.
func (t *Transcript) accepted() []string {
	var list []string
	for _, s := range t.steps {
		if s.verb == verbAccept && !slices.Contains(list, string(s.data)) {
			list = append(list, string(s.data))
		}
	}
	return list
}

// For is p as a transcript wants it: with its configuration, and free to connect to where
// the transcript accepts.
func (p Plugin) For(t *Transcript) Plugin {
	if t.Assets != "" {
		p.Config.Assets = t.Assets
	}
	if t.Config != nil {
		p.Config.Config = t.Config // which is JSON already
	}
	p.Config.Allow.Connect = append(slices.Clone(p.Config.Allow.Connect), t.accepted()...)
	p.datagrams = t.usesDatagrams()
	p.secure = slices.ContainsFunc(t.steps, func(s step) bool { return s.verb == verbTLS })
	return p
}

// accept reads the endpoint of an accept.
func (p *parser) accept(s *step, at int) error {
	if s.conn == "" {
		return p.fail(at, "accept", "a name for the connection before it, as in db: accept tcp://127.0.0.1:5432")
	}
	text, at := p.word()
	ep, err := reactor.ParseEndpoint(text)
	if err != nil {
		return p.fail(at, p.found(text), "an endpoint such as tcp://127.0.0.1:5432")
	}
	switch ep.Scheme {
	case "tcp":
		if _, err := netip.ParseAddr(ep.Host); err != nil {
			return p.fail(at, p.found(text), "an address in it: names are not looked up")
		}
	case "unix":
	default:
		return p.fail(at, p.found(text), "tcp:// or unix://")
	}
	s.verb, s.data = verbAccept, []byte(ep.String())
	return nil
}

// listen has the transcript's ends be there before the guest connects to them.
func (s *Server) listen() error {
	s.ends = map[string]*memnet.PeerListener{}
	for _, text := range s.t.accepted() {
		ep, err := reactor.ParseEndpoint(text)
		if err != nil {
			return err
		}
		network, address := ep.Scheme, ep.Path
		if network != "unix" {
			address = net.JoinHostPort(ep.Host, strconv.Itoa(int(ep.Port)))
		}
		if s.ends[text], err = s.sys.ListenPeer(network, address); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// accept takes the next connection that the guest has made to an endpoint.
func (s *Server) accept(st step) error {
	if old := s.conns[st.conn]; old != nil {
		if err := s.nothing(old, st.line); err != nil {
			return err
		}
		old.peer.Reset()
	}
	s.Settle()
	peer, err := s.ends[string(st.data)].Accept()
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return s.fail(st.line, "the guest has not connected to "+string(st.data), "")
	case err != nil:
		return s.fail(st.line, "accept: "+err.Error(), "")
	}
	s.conns[st.conn] = &conn{peer: peer, stream: peer, accepted: true}
	return nil
}

// endListening ends what listen has begun. Connections that nobody has accepted are told
// where the run was good so far.
func (s *Server) endListening(good bool) (err error) {
	for _, text := range slices.Sorted(maps.Keys(s.ends)) {
		l := s.ends[text]
		if l == nil {
			continue
		}
		if peer, wrong := l.Accept(); wrong == nil {
			peer.Reset()
			if good && err == nil {
				err = s.fail(s.t.steps[len(s.t.steps)-1].line, "the guest has connected to "+text+
					" once more than was accepted", "")
			}
		}
		l.Close()
	}
	s.ends = nil
	return err
}

// reload puts the same module in the place of the version that runs. All connections must
// move to it.
func (s *Server) reload(line int) error {
	s.Settle()
	out, err := s.h.ReloadPlugin(context.Background(), Name, true)
	if err != nil {
		return s.fail(line, "reload: "+err.Error(), "")
	}
	if len(out.Kept) > 0 {
		return s.fail(line, "reload: a connection does not move: "+
			strings.Join(slices.Sorted(maps.Keys(out.Kept)), "; "), "")
	}
	if out.Dropped > 0 {
		return s.fail(line, fmt.Sprintf("reload: %d connections ended", out.Dropped), "")
	}
	s.Settle()
	return nil
}

// aside does what is about no connection of a client's.
func (s *Server) aside(st step) (is bool, err error) {
	switch st.verb {
	case verbWait:
		s.sys.AdvanceSettled(st.wait)
		s.Settle()
		return true, nil
	case verbExpectMetric:
		return true, s.metric(st)
	case verbReload:
		return true, s.reload(st.line)
	case verbAccept:
		return true, s.accept(st)
	case verbDatagram, verbExpectDatagram:
		return true, s.datagram(st)
	}
	return false, nil
}
