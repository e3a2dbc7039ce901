package guest

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// An instance moves to another process of the program as it moves to another version
// (see move.go): by what its saveState gives, between two callbacks. It is frozen
// first: no event reaches it. Then the other process says whether it can take it, and
// it is forgotten, or thawed and goes on as if nothing had been asked.

// State is what an instance has, as plain values for another process.
type State struct {
	Version     int32             `json:"version"` // of the guest's layout
	Factory     []byte            `json:"factory"` // the factory's own; nil = it was declined
	Connections []ConnectionState `json:"connections"`
	Timers      []TimerState      `json:"timers,omitempty"`
	Sockets     []SocketState     `json:"sockets,omitempty"` // for datagrams
	Listeners   []ListenerState   `json:"listeners,omitempty"`
}

// ConnectionState is a connection of State.
type ConnectionState struct {
	Handle   int32          `json:"handle"`
	State    []byte         `json:"state"`
	Listener string         `json:"listener,omitempty"` // the endpoint that it came to
	From     int32          `json:"from,omitempty"`     // the guest's listener that it came from
	Socket   reactor.Frozen `json:"socket"`
}

// TimerState is a delayed call of State.
type TimerState struct {
	Handle int32         `json:"handle"`
	After  time.Duration `json:"after"`
}

// Frozen is an instance that no event reaches. It is its loop's.
type Frozen struct {
	State   State
	Sockets []*Socket // in the order of State.Sockets
	Left    Detached  // listeners that have moved, after Forget: for Leave, or Attach after all

	i         *Instance
	anew      []*Socket   // configured ones whose state was declined
	moving    []*conn     // in the order of State.Connections
	listeners []*listener // in the order of State.Listeners
	held      bool        // the plugin's share is
	stay      error       // why the others stay; nil = there are none
}

// errLinked says that an instance has connections to others, which are to be frozen, too.
var errLinked = fmt.Errorf("%w: it has just connected to another plugin", ErrUnsettled)

// ErrUnsettled says that an instance can't be frozen now, and may be later.
var ErrUnsettled = errors.New("a connection is being made, or ends")

// Freeze has no event reach the instance, and asks it for its state, until Thaw or
// Forget. Connections that can't leave the process, such as those with TLS 1.2, stay: they
// wait with the plugin's share of the loop meanwhile. Its listeners must be held. On an error, which says why it can't
// be moved, or ErrUnsettled, nothing has changed, unless the instance trapped. One that has
// connections to others inside the process is frozen where linked is set, and all or none of
// its connections: then those others are to be, and FreezeLinks is to be called. On its loop,
// in no callback.
func (i *Instance) Freeze(linked bool) (*Frozen, error) {
	if !i.Usable() {
		return nil, errRetired
	}
	f := &Frozen{i: i}
	err := f.freezeConnections(linked)
	if err == nil {
		err = f.freezeSockets()
	}
	f.freezeListeners()
	if err == nil {
		k := i.guest.hold()
		err = f.saveStates(&k)
	}
	if err != nil {
		f.Thaw()
		return nil, err
	}
	for handle, t := range i.timers {
		f.State.Timers = append(f.State.Timers, TimerState{handle, t.hold()})
	}
	if f.stay != nil {
		f.held = true
		i.place.Share.Hold()
	}
	return f, nil
}

// freezeConnections freezes those that can move.
func (f *Frozen) freezeConnections(linked bool) error {
	i := f.i
	for c := range i.conns.all() {
		if c.stage != stageOpen || c.handed {
			return ErrUnsettled
		}
		if !linked && c.t.Stats().Link != 0 {
			return errLinked
		}
		socket, err := i.place.Loop.Freeze(c.t)
		if err != nil && linked { // what is before another plugin, or behind one, goes with it
			return err
		}
		if err != nil {
			f.stay = err
			continue
		}
		f.moving = append(f.moving, c)
		f.State.Connections = append(f.State.Connections,
			ConnectionState{Handle: c.handle, Listener: cameTo(c.t), From: c.from, Socket: socket})
	}
	switch {
	case f.stay == nil:
		return nil
	case len(f.moving) == 0:
		return f.stay
	case len(i.timers) > 0:
		return fmt.Errorf("timers are alive, which can't be divided, and a connection has to stay: %w", f.stay)
	}
	return nil
}

// cameTo is the endpoint of the listener that accepted a connection, or "".
func cameTo(t reactor.Transport) string {
	if ln := t.Stats().Listener; ln != nil {
		return ln.Endpoint().String()
	}
	return ""
}

func (f *Frozen) saveStates(k *hold) (err error) {
	i := f.i
	if f.State.Version, err = i.stateVersion(); err != nil {
		return err
	}
	state, err := i.saveState(0)
	switch {
	case err == nil:
		f.State.Factory = append([]byte{}, state...)
	case !errors.Is(err, errDeclined):
		return fmt.Errorf("the factory's state: %w", err)
	}
	if err := f.saveListeners(k); err != nil {
		return err
	}
	for n, c := range f.moving {
		if k.over() {
			return &errHeld{k.limit}
		}
		if state, err = i.saveState(c.handle); err != nil {
			return err
		}
		f.State.Connections[n].State = append([]byte{}, state...)
	}
	return f.saveSockets(k)
}

// Stay says why connections of the instance stay; nil = all of them move.
func (f *Frozen) Stay() error { return f.stay }

// Staying counts the connections that stay.
func (f *Frozen) Staying() int { return f.i.CountConnections() - len(f.moving) }

// Files are duplicates of the sockets from one number to another, of State.Files, for the
// caller to close, on an error too. On its loop.
func (f *Frozen) Files(from, to int) (files []*os.File, err error) {
	n := 0
	for duplicate := range f.duplicates() {
		if n >= from && n < to {
			file, err := duplicate()
			if err != nil {
				return files, err
			}
			files = append(files, file)
		}
		n++
	}
	return files, nil
}

// duplicates make a duplicate each, in the order of State.Files.
func (f *Frozen) duplicates() iter.Seq[func() (*os.File, error)] {
	return func(yield func(func() (*os.File, error)) bool) {
		for n, c := range f.moving {
			if f.State.Connections[n].Socket.Link == nil &&
				!yield(func() (*os.File, error) { return f.i.place.Loop.File(c.t) }) {
				return
			}
		}
		for _, s := range f.Sockets {
			if s.owner == nil && !yield(s.d.File) {
				return
			}
		}
		for _, l := range f.listeners {
			if !yield(l.ln.Load().Duplicate) {
				return
			}
		}
	}
}

// FreezeLinks notes what is on its way to the instance inside the process, when those at the
// other ends are frozen, too. On its loop.
func (f *Frozen) FreezeLinks() (err error) {
	for n, c := range f.moving {
		if s := &f.State.Connections[n].Socket; s.Link != nil {
			if s.Link, err = f.i.place.Loop.FreezeLink(c.t); err != nil {
				return err
			}
		}
	}
	return nil
}

// Listener is the one that accepted a connection of State, or nil.
func (f *Frozen) Listener(n int) *reactor.Listener { return f.moving[n].t.Stats().Listener }

// Links are the numbers of the instance's connections inside the process. On its loop.
func (i *Instance) Links() (list []uint64) {
	if i.out == 0 && i.layered == 0 {
		return nil
	}
	for c := range i.conns.all() {
		if n := c.t.Stats().Link; n != 0 {
			list = append(list, n)
		}
	}
	return list
}

// Thaw has the instance go on. On its loop.
func (f *Frozen) Thaw() {
	i := f.i
	for _, c := range f.moving {
		i.place.Loop.Thaw(c.t)
		if i.dead != nil { // it was told, and could not hear it
			c.t.Abort(reactor.ProtocolFailed, i.dead)
		}
	}
	f.thawSockets()
	for _, t := range i.timers {
		if t.call == nil && i.dead == nil {
			t.start()
		}
	}
	f.release()
}

func (f *Frozen) release() {
	for n := range f.State.Connections {
		f.State.Connections[n].Socket.Wipe()
	}
	if f.held {
		f.held = false
		f.i.place.Share.Release()
	}
}

// Forget lets go of what has moved. The instance ends, or where connections stay it is
// told that the others were lost to a replacement (reason 6). On its loop.
func (f *Frozen) Forget() {
	i := f.i
	f.release()
	for _, c := range f.moving {
		i.place.Loop.Forget(c.t)
		if f.stay != nil {
			c.ConnectionLost(reactor.Replaced, nil)
		} else {
			c.end()
		}
	}
	i.leaving = f.stay == nil
	f.forgetListeners()
	f.forgetSockets()
	if f.stay == nil {
		i.retire()
	}
}
