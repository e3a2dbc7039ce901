package guest

import (
	"errors"
	"fmt"
	"os"

	"github.com/wirehost/wirehost/reactor"
)

// SocketState is a datagram socket of State.
type SocketState struct {
	Handle int32                  `json:"handle"`
	State  []byte                 `json:"state"`
	Port   string                 `json:"port,omitempty"`   // the endpoint of its port; "" = the guest has opened it
	Number int                    `json:"number,omitempty"` // among the port's sockets; Freeze leaves it to others
	Socket reactor.FrozenDatagram `json:"socket"`
}

// Files counts the sockets of State that go as files: connections but those inside the
// process, then those for datagrams
// that the guest has opened, then listeners. Its owner has those that are configured.
func (s *State) Files() (n int) {
	n = len(s.Listeners)
	for k := range s.Connections {
		if s.Connections[k].Socket.Link == nil {
			n++
		}
	}
	for k := range s.Sockets {
		if s.Sockets[k].Port == "" {
			n++
		}
	}
	return n
}

// freezeSockets freezes all that the instance has.
func (f *Frozen) freezeSockets() error {
	for handle, s := range f.i.sockets {
		if s.stage != stageOpen {
			return ErrUnsettled
		}
		socket, err := s.d.Freeze()
		if err != nil {
			return fmt.Errorf("a datagram socket %w", err)
		}
		one := SocketState{Handle: handle, Socket: socket}
		if s.owner != nil {
			one.Port = s.d.Port().Endpoint().String()
		}
		f.Sockets, f.State.Sockets = append(f.Sockets, s), append(f.State.Sockets, one)
	}
	return nil
}

// saveSockets saves their states. A configured one whose state is declined moves without its
// instance.
func (f *Frozen) saveSockets(k *hold) error {
	frozen, states := f.Sockets, f.State.Sockets
	f.Sockets, f.State.Sockets = nil, nil
	for n, s := range frozen {
		state, err := []byte(nil), error(nil)
		if k.over() {
			err = &errHeld{k.limit}
		} else {
			state, err = f.i.saveState(s.handle)
		}
		switch {
		case errors.Is(err, errDeclined) && s.owner != nil:
			f.anew = append(f.anew, s)
			continue
		case err != nil:
			f.Sockets = append(f.Sockets, frozen[n:]...) // to be thawed
			return err
		}
		states[n].State = append([]byte{}, state...)
		f.Sockets, f.State.Sockets = append(f.Sockets, s), append(f.State.Sockets, states[n])
	}
	return nil
}

// thawSockets has them go on.
func (f *Frozen) thawSockets() {
	for _, s := range append(f.Sockets, f.anew...) {
		s.d.Thaw()
		if s.owner == nil && f.i.dead != nil { // it was told, and could not hear it
			s.d.Abort(reactor.ProtocolFailed, f.i.dead)
		}
	}
	f.Sockets, f.anew = nil, nil
}

// forgetSockets lets go of those that have moved: the configured ones stay frozen, without an
// instance, until their port ends. An instance that stays is told that they were lost to a
// replacement, as is one of sockets that move without it.
func (f *Frozen) forgetSockets() {
	for _, s := range f.Sockets {
		if f.stay != nil {
			s.Leave(reactor.Replaced, false)
		}
		if s.in == f.i {
			s.in = nil
			f.i.removeSocket(s)
			s.freeHandle(f.i)
		}
		if s.owner == nil {
			s.d.Forget()
		}
	}
	for _, s := range f.anew {
		s.Leave(reactor.Replaced, false)
		s.d.Thaw()
	}
}

// On is what the socket is to the reactor. On its loop.
func (s *Socket) On() *reactor.DatagramSocket { return s.d }

// Thaw has a socket without an instance be there, after a takeover or the failure of one.
// What comes waits. On its loop.
func (s *Socket) Thaw() {
	s.d.PauseProducing()
	s.d.Thaw()
}

// Adopt takes a port's socket from another process, where it was as v says. It is frozen.
// The caller closes the file. On the loop.
func (s *Socket) Adopt(l *reactor.Loop, f *os.File, v reactor.FrozenDatagram, p *reactor.DatagramPort) (err error) {
	s.d, err = l.AdoptDatagram(f, v, s, p, reactor.DatagramOptions{})
	s.opened = max(1, l.Now()) // here
	return err
}

// adoptSocket gives an instance a socket of another process. files are those of sockets that
// guests have opened; it closes the one that it takes.
func (i *Instance) adoptSocket(one *SocketState, files *[]*os.File, at *Place,
	configured func(*SocketState) (*Socket, error)) (err error) {
	if !i.account.conns.reserve(one.Handle) {
		return fmt.Errorf("datagram socket %d is another's", one.Handle)
	}
	var s *Socket
	if one.Port != "" {
		s, err = configured(one)
	} else {
		f := (*files)[0]
		*files = (*files)[1:]
		s, err = i.adoptOpened(one, f, at)
		_ = f.Close() // a duplicate
	}
	if err != nil {
		i.account.conns.free(one.Handle)
		return err
	}
	s.in, s.handle, s.stage, s.told = i, one.Handle, stageOpen, true
	i.addSocket(s)
	return nil
}

func (i *Instance) adoptOpened(one *SocketState, f *os.File, at *Place) (s *Socket, err error) {
	s = &Socket{in: i}
	if s.to, err = reactor.ParseDatagramEndpoint(one.Socket.Endpoint); err != nil {
		return nil, err
	}
	s.d, err = at.Loop.AdoptDatagram(f, one.Socket, s, nil, s.options(at))
	return s, err
}

// dropSockets lets go of those that were adopted.
func (i *Instance) dropSockets() {
	for handle, s := range i.sockets {
		if s.d == nil { // startFactory has asked for it
			continue
		}
		s.d.Forget()
		i.removeSocket(s)
		i.account.conns.free(handle)
		if s.owner != nil {
			s.owner.Dropped()
		}
	}
}

// Forget lets go of a socket that was adopted without an instance. On its loop.
func (s *Socket) Forget() { s.d.Forget() }
