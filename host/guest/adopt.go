package guest

import (
	"errors"
	"fmt"
	"os"

	"github.com/wirehost/wirehost/reactor"
)

// Adopt gives a started instance that has nothing the state of one of another process,
// up to the commit: CommitAdopted, or DropAdopted. sockets are its connections', in the
// state's order, some of which it closes, those for datagrams that the guest has opened, and
// its listeners'; listener finds the one that a connection counts to, or nil, and configured adopts a socket
// of the configuration. On an error, the instance is to be closed. On the loop of at.
func (i *Instance) Adopt(s State, sockets []*os.File, at *Place,
	listener func(endpoint string) *reactor.Listener, configured func(*SocketState) (*Socket, error)) error {
	if len(sockets) != s.Files() {
		return fmt.Errorf("found %d sockets for %d connections", len(sockets), s.Files())
	}
	i.moving = at
	err := i.adoptAll(s, sockets, at, listener, configured)
	i.moving = nil
	if err != nil {
		i.DropAdopted(at)
	}
	return err
}

func (i *Instance) adoptAll(s State, sockets []*os.File, at *Place,
	listener func(endpoint string) *reactor.Listener, configured func(*SocketState) (*Socket, error)) error {
	for n := range s.Listeners { // before the connections, which count to them
		if err := i.adoptListener(&s.Listeners[n], sockets[len(sockets)-len(s.Listeners)+n], at); err != nil {
			return err
		}
	}
	for n := range s.Connections {
		c := &s.Connections[n]
		if c.Socket.Link != nil {
			if err := i.adoptConnection(c, nil, at, listener); err != nil {
				return err
			}
			continue
		}
		err := i.adoptConnection(c, sockets[0], at, listener)
		_ = sockets[0].Close() // a duplicate; there may be few descriptors
		sockets = sockets[1:]
		if err != nil {
			return err
		}
	}
	for n := range s.Sockets {
		if err := i.adoptSocket(&s.Sockets[n], &sockets, at, configured); err != nil {
			return err
		}
	}
	for _, t := range s.Timers {
		if !i.account.timers.reserve(t.Handle) {
			return fmt.Errorf("timer %d is another's", t.Handle)
		}
		if i.timers == nil {
			i.timers = map[int32]*timer{}
		}
		i.timers[t.Handle] = &timer{in: i, handle: t.Handle, after: t.After}
	}
	if err := i.guest.canTake(i); err != nil {
		return err
	}
	return i.restoreAll(&s)
}

// restoreAll gives the instance the states of what was adopted.
func (i *Instance) restoreAll(s *State) error {
	k := i.guest.hold()
	if s.Factory != nil {
		if err := i.restoreState(0, s.Version, s.Factory, &k); err != nil {
			return fmt.Errorf("the factory's state: %w", err)
		}
	}
	for n := range s.Listeners {
		one := &s.Listeners[n]
		if one.State == nil {
			continue
		}
		if k.over() {
			return &errHeld{k.limit}
		}
		err := i.restoreState(one.Handle, s.Version, one.State, &k)
		if declined := new(refusal); err != nil && !errors.As(err, &declined) { // it moves without, too
			return fmt.Errorf("listener %d: %w", one.Handle, err)
		}
	}
	for n := range s.Connections {
		c := &s.Connections[n]
		if k.over() {
			return &errHeld{k.limit}
		}
		if err := i.restoreState(c.Handle, s.Version, c.State, &k); err != nil {
			return err
		}
	}
	for n := range s.Sockets {
		one := &s.Sockets[n]
		if k.over() {
			return &errHeld{k.limit}
		}
		if err := i.restoreState(one.Handle, s.Version, one.State, &k); err != nil {
			return err
		}
	}
	return nil
}

func (i *Instance) adoptConnection(s *ConnectionState, socket *os.File, at *Place,
	listener func(endpoint string) *reactor.Listener) (err error) {
	if !i.account.conns.reserve(s.Handle) {
		return fmt.Errorf("connection %d is another's", s.Handle)
	}
	c := &conn{in: i, handle: s.Handle, from: s.From, stage: stageOpen, producing: s.Socket.Producer}
	var producer reactor.Producer
	if s.Socket.Producer {
		producer = c
	}
	ln := listener(s.Listener)
	if s.From != 0 {
		ln = i.account.listenerOf(s.From)
	}
	if c.t, err = at.Loop.Adopt(socket, s.Socket, c, producer, ln, at.Share); err != nil {
		i.account.conns.free(s.Handle)
		return err
	}
	i.conns.add(c)
	if c.t.State()&reactor.StateOutgoing != 0 {
		i.out++
		c.link = c.t.Stats().Depth > 0 && i.account.takeLink(0)
	} else {
		i.enterLayer(c.t.Stats().Depth)
	}
	return nil
}

// DropAdopted lets go of what was adopted: it is the other process's. The instance is to be
// closed. On the loop of at.
func (i *Instance) DropAdopted(at *Place) {
	for c := range i.conns.all() {
		c.freeLink()
		at.Loop.Forget(c.t)
		i.account.conns.free(c.handle)
	}
	i.dropSockets()
	i.dropAdoptedListeners()
	i.dropTimers()
	i.dropMoved()
}

// CommitAdopted makes the instance one of the place's, and has its connections go on. On
// the loop of the place.
func (i *Instance) CommitAdopted(p *Place) {
	i.Commit(p)
	for c := range i.conns.all() {
		p.Loop.Thaw(c.t)
		c.writeHeld()
	}
	for _, s := range i.sockets {
		s.d.Thaw()
	}
}

// EndWhenEmpty has an instance end with its last connection, as those of a place do that
// is closing. On its loop.
func (i *Instance) EndWhenEmpty() {
	i.ending = true
	i.settle()
}
