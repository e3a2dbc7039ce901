package transcript

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
)

// usesDatagrams tells whether the transcript sends some.
func (t *Transcript) usesDatagrams() bool {
	for _, s := range t.steps {
		if s.verb == verbDatagram || s.verb == verbExpectDatagram {
			return true
		}
	}
	return false
}

// FirstDatagram is what the transcript begins with, where that is a datagram and an answer.
func (t *Transcript) FirstDatagram() (sent []byte, answer string, ok bool) {
	if len(t.steps) < 2 || t.steps[0].verb != verbDatagram || t.steps[1].verb != verbExpectDatagram ||
		t.steps[0].conn != t.steps[1].conn {
		return nil, "", false
	}
	return t.steps[0].data, string(t.steps[1].data), true
}

// listeners are the plugin's, for connections and, where a transcript has some, datagrams.
func (p Plugin) listeners(settings config.TLS) []config.Listener {
	list := []config.Listener{{Endpoint: "tcp://" + Address, Plugin: Name, TLS: settings}}
	if p.datagrams {
		list = append(list, config.Listener{Endpoint: "udp://" + Address, Plugin: Name})
	}
	return list
}

// socket is a client's socket for datagrams, opened where it is new.
func (s *Server) socket(name string, line int) (*memnet.DatagramPeer, error) {
	if p := s.sockets[name]; p != nil {
		return p, nil
	}
	p, err := s.sys.DatagramPeer("udp", fmt.Sprintf("10.0.0.%d:0", 1+len(s.sockets)%250))
	if err != nil {
		return nil, s.fail(line, err.Error(), "")
	}
	if s.sockets == nil {
		s.sockets = map[string]*memnet.DatagramPeer{}
	}
	s.sockets[name] = p
	return p, nil
}

// datagram sends one, or compares the next one.
func (s *Server) datagram(st step) error {
	p, err := s.socket(st.conn, st.line)
	if err != nil {
		return err
	}
	if st.verb == verbDatagram {
		if err := p.Send(Address, st.data); err != nil {
			return s.fail(st.line, "datagram: "+err.Error(), "")
		}
		s.Settle()
		return nil
	}
	s.Settle()
	d, err := p.Receive()
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return s.fail(st.line, "the guest does not answer", "")
	case err != nil:
		return s.fail(st.line, err.Error(), "")
	case string(d.Payload) != string(st.data):
		return s.fail(st.line, "found another datagram", "  wanted "+strconv.Quote(string(st.data))+"\n  found  "+
			strconv.Quote(string(d.Payload)))
	}
	return nil
}

// endSockets ends the clients' sockets; where the run was good so far, nothing may be left in
// them.
func (s *Server) endSockets(good bool) (err error) {
	for name, p := range s.sockets {
		d, none := p.Receive()
		if good && err == nil && none == nil {
			err = s.fail(s.t.steps[len(s.t.steps)-1].line, "the guest sent a datagram that is not expected",
				"  "+name+" has "+strconv.Quote(string(d.Payload)))
		}
		p.Close()
	}
	s.sockets = nil
	return err
}
