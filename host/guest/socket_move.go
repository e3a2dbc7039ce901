package guest

import (
	"errors"
	"slices"

	"github.com/wirehost/wirehost/reactor"
)

// Sockets move as connections do, with their instance's state. A configured one moves
// without its own as well: then the old instance is told that it ends, and the new one that
// it begins.

// canTakeSockets holds the sockets that are alive against what the new module exports.
func (g *Guest) canTakeSockets(old *Instance) error {
	if len(old.sockets) > 0 && !g.has[exDatagramsReceived] {
		return errors.New("a datagram socket is open, and the new version has no datagramsReceived")
	}
	if old.opened > 0 && !g.has[exStopProtocol] {
		return errors.New("a datagram socket is open, and the new version has no stopProtocol")
	}
	return nil
}

// moveSockets copies the states of sockets.
func moveSockets(old, fresh *Instance, version int32, k *hold) error {
	for handle, s := range old.sockets {
		if fresh.sockets == nil {
			fresh.sockets = map[int32]*Socket{}
		}
		fresh.sockets[handle] = s
		err := copyState(old, fresh, handle, version, k)
		if s.anew = errors.Is(err, errDeclined) && s.owner != nil; s.anew {
			delete(fresh.sockets, handle)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// dropMovedSockets drops what has been copied into an instance that will not run: not what
// it wants to open itself.
func (i *Instance) dropMovedSockets() {
	for handle, s := range i.sockets {
		if s.in != i {
			delete(i.sockets, handle)
		}
	}
	i.sock = nil
}

// commitSockets makes the new instance the one that is called, and returns the sockets that
// are to begin in it.
func commitSockets(old, fresh *Instance) (begin []*Socket) {
	old.sock = nil
	var anew []*Socket
	for handle, s := range old.sockets {
		if s.anew {
			anew = append(anew, s)
			continue
		}
		s.in = fresh
		delete(old.sockets, handle)
		if s.owner == nil {
			old.opened--
			fresh.opened++
		}
	}
	for _, s := range anew { // behind the others: where it traps, it has none of these any more
		s.Leave(reactor.Replaced, true) // if it traps, the socket's owner goes on
		if s.anew = false; s.kept != nil {
			begin = append(begin, s)
		}
	}
	return begin
}

// socketFacts are what getters tell of a socket.
type socketFacts struct {
	state      reactor.State
	host, peer string
}

func (s *Socket) state() reactor.State {
	if s.facts != nil {
		return s.facts.state
	}
	return s.d.State()
}

func (s *Socket) host() string {
	if s.facts != nil {
		return s.facts.host
	}
	return s.d.Host()
}

func (s *Socket) peer() string {
	if s.facts != nil {
		return s.facts.peer
	}
	return s.d.Peer()
}

type socketSample struct {
	handle int32
	stage  stage
	state  []byte
	facts  socketFacts
}

// addSockets samples so many sockets of an instance. What can't be saved is left out.
func (s *Sample) addSockets(i *Instance, most int, k *hold) error {
	for handle, one := range i.sockets {
		if len(s.sockets) == most || k.over() {
			break
		}
		state, err := i.saveState(handle)
		if i.dead != nil {
			return err
		}
		if err == nil {
			s.sockets = append(s.sockets, socketSample{handle, one.stage, slices.Clone(state),
				socketFacts{one.state(), one.host(), one.peer()}})
		}
	}
	return nil
}

// restoreSockets is Restore's part for sockets.
func (s *Sample) restoreSockets(i *Instance) error {
	for n := range s.sockets {
		one := &s.sockets[n]
		i.addSocket(&Socket{owner: nobody{}, in: i, handle: one.handle, stage: one.stage, facts: &one.facts})
		if err := i.restoreState(one.handle, s.version, one.state, nil); err != nil {
			return err
		}
	}
	return nil
}

// nobody owns what is restored from a sample: it ends in silence.
type nobody struct{}

func (nobody) Started()  {}
func (nobody) Lost(bool) {}
func (nobody) Stopped()  {}
func (nobody) Dropped()  {}
