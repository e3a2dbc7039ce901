package guest

import (
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/reactor"
)

// At an upgrade of the program listeners go to another process with their instances, or, where
// these stay, without. That process is told of them before its first start, so that where a
// start listens at their addresses it gets their handles: they are promised. Both processes
// hold them meanwhile: connections wait with the system, until one of them says that it has
// the listener, or lets go of all.

// ListenerState is a listener of State.
type ListenerState struct {
	Handle   int32  `json:"handle"`
	Endpoint string `json:"endpoint"`         // as the guest has it
	Bound    string `json:"bound"`            // with the port that the system has chosen
	Shared   bool   `json:"shared,omitempty"` // other sockets may have its port
	Loop     int    `json:"loop"`             // where it was
	State    []byte `json:"state"`            // nil = it was declined
}

// endpoint is where it listens.
func (l *listener) endpoint() string {
	if ln := l.ln.Load(); ln != nil {
		return ln.Endpoint().String()
	}
	return l.bound
}

func (l *listener) state(loop int) ListenerState {
	return ListenerState{Handle: l.handle, Endpoint: l.asked.String(), Bound: l.endpoint(), Shared: l.shared,
		Loop: loop}
}

// HoldsListeners tells whether none takes connections.
func (a *Account) HoldsListeners() bool {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	return a.listening.held
}

// HoldListeners has no listener of the account's take connections until ReleaseListeners, and
// returns when those that were taken are with their loops. On no loop.
func (a *Account) HoldListeners() error {
	var all []*reactor.Listener
	a.listening.mu.Lock()
	a.listening.held = true
	for l := range a.listening.all {
		if ln := l.ln.Load(); ln != nil {
			all = append(all, ln)
		}
	}
	a.listening.mu.Unlock()
	for _, ln := range all {
		if err := ln.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// ReleaseListeners is the end of HoldListeners. Those that came are this process's from now
// on, with their files; what was promised and did not come is settled by SettlePromises of
// those who have claimed it, or forgotten. On no loop.
func (a *Account) ReleaseListeners() {
	var came []*reactor.Listener
	var left []*listener
	a.listening.mu.Lock()
	a.listening.held = false
	for l := range a.listening.all {
		ln := l.ln.Load()
		if l.promised {
			left = append(left, l)
		}
		if ln != nil && l.of != nil && l.loop >= 0 {
			_ = ln.Start() // it fails where the reactor has ended
		}
		if ln != nil && l.came {
			came = append(came, ln)
		}
		l.came = false
	}
	a.listening.mu.Unlock()
	for _, l := range left {
		l.closeUnused()
	}
	for _, ln := range came {
		if err := ln.Own(); err != nil {
			a.warn(listenerNote, "endpoint", ln.Endpoint().String(), "err", err)
		}
	}
}

// PromiseListeners has starts know of listeners that another process may give: at their
// addresses listen gives their handles. loop is where one goes that was on a loop there.
func (a *Account) PromiseListeners(list []ListenerState, loop func(int) int) {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	for n := range list {
		_, _ = a.promise(&list[n], loop(list[n].Loop)) // else it is refused when it comes
	}
}

// promise notes such a listener, or finds it. mu is held.
func (a *Account) promise(s *ListenerState, loop int) (*listener, error) {
	for l := range a.listening.all {
		if l.handle == s.Handle && l.promised && l.ln.Load() == nil {
			return l, nil
		}
	}
	ep, err := reactor.ParseEndpoint(s.Endpoint)
	if err != nil {
		return nil, err
	}
	if !a.conns.reserve(s.Handle) {
		return nil, fmt.Errorf("listener %d is another's", s.Handle)
	}
	l := &listener{account: a, handle: s.Handle, asked: ep, bound: s.Bound, loop: loop, promised: true}
	a.listening.add(l)
	return l, nil
}

// comes takes the socket of a listener that was promised, or that the other process has since
// it promised. Nobody has it yet. The caller closes the file.
func (g *Guest) comes(s *ListenerState, f *os.File, loop int) (*listener, error) {
	a := g.account
	a.listening.mu.Lock()
	l, err := a.promise(s, loop)
	a.listening.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if g.listen == nil {
		return nil, reactor.ErrNotSupported
	}
	l.shared = s.Shared
	ln, err := g.listen(f, l.asked, l, l.options(g, -1))
	if err != nil {
		return nil, err
	}
	l.ln.Store(ln)
	a.listening.mu.Lock()
	l.loop, l.came = loop, true
	a.listening.mu.Unlock()
	return l, nil
}

// listenerOf is the one of a handle, where it is there; else nil.
func (a *Account) listenerOf(handle int32) *reactor.Listener {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	for l := range a.listening.all {
		if l.handle == handle {
			return l.ln.Load()
		}
	}
	return nil
}

// goes has a listener that came be the other process's after all.
func (l *listener) goes() {
	l.in.Store(nil)
	s := &l.account.listening
	s.mu.Lock()
	l.of, l.promised, l.came = nil, true, false
	s.mu.Unlock()
	if ln := l.ln.Swap(nil); ln != nil {
		ln.CloseSoon(func() {})
	}
}

// AdoptListeners takes listeners of another process that come without their instance, up to
// Attach, or Return. files are their sockets, which stay the caller's. On an error none is
// taken. On no loop.
func (g *Guest) AdoptListeners(list []ListenerState, files []*os.File, loop int) (taken Detached, err error) {
	for n := range list {
		l, err := g.comes(&list[n], files[n], loop)
		if err != nil {
			taken.Return()
			return nil, err
		}
		taken = append(taken, l)
	}
	return taken, nil
}

// Return has listeners of AdoptListeners be the other process's.
func (list Detached) Return() {
	for _, l := range list {
		l.goes()
	}
}

// Leave lets go of listeners that the other process has. Starts that listen at their addresses
// from now on get their handles, since the addresses are taken. On no loop.
func (list Detached) Leave() (err error) {
	for _, l := range list {
		s := &l.account.listening
		s.mu.Lock()
		l.of, l.left, l.bound = nil, true, l.endpoint()
		s.mu.Unlock()
		err = errors.Join(err, l.ln.Swap(nil).Leave())
	}
	return err
}

// adoptListener gives an instance a listener of another process, which takes nothing in before
// its commit.
func (i *Instance) adoptListener(s *ListenerState, f *os.File, at *Place) error {
	l, err := i.guest.comes(s, f, at.Loop.Index())
	if err != nil {
		return fmt.Errorf("the listener on %s: %w", s.Endpoint, err)
	}
	claimed := i.listeners[l.handle] != nil
	l.in.Store(i)
	l.account.listening.mu.Lock()
	l.of = i.guest
	if claimed {
		l.claims--
	}
	l.account.listening.mu.Unlock()
	i.own(l)
	return nil
}

// dropAdoptedListeners lets go of those.
func (i *Instance) dropAdoptedListeners() {
	for handle, l := range i.listeners {
		if l.in.Load() == i && l.cameFromElsewhere() {
			delete(i.listeners, handle)
			l.goes()
		}
	}
}

func (l *listener) cameFromElsewhere() bool {
	l.account.listening.mu.Lock()
	defer l.account.listening.mu.Unlock()
	return l.came
}

// SettlePromises gives the instance what its start has claimed of another process's promises,
// behind ReleaseListeners: what has not come is bound anew. On the loop.
func (i *Instance) SettlePromises() {
	if i.Usable() {
		i.bindOverdue()
		i.settleClaims()
	}
}

// awaited tells whether it may still come from another process, or has gone there.
func (l *listener) awaited() bool {
	l.account.listening.mu.Lock()
	defer l.account.listening.mu.Unlock()
	return l.left || l.promised && l.account.listening.held
}

// bindOverdue binds what was promised, and can't come any more.
func (i *Instance) bindOverdue() {
	for handle, l := range i.listeners {
		if l.in.Load() == i || !l.overdue() {
			continue
		}
		err := l.listen(i.guest)
		if err != nil {
			i.account.Note(hclog.Warn, bindNote, "version", i.guest.name, "endpoint", l.asked.String(), "err", err)
			delete(i.listeners, handle)
		} else {
			l.give(i)
		}
		l.endClaim()
	}
}

// overdue tells whether it was promised, and can't come any more.
func (l *listener) overdue() bool {
	l.account.listening.mu.Lock()
	defer l.account.listening.mu.Unlock()
	return l.promised && !l.account.listening.held && l.ln.Load() == nil
}

// Promised are the account's listeners, for PromiseListeners of another process.
func (a *Account) Promised() (list []ListenerState) {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	for l := range a.listening.all {
		if l.of != nil && l.loop >= 0 && !l.closing && l.ln.Load() != nil {
			list = append(list, l.state(l.loop))
		}
	}
	return list
}

// LoneListener is a listener that moves without its instance, which stays. It is its loop's.
type LoneListener struct {
	State ListenerState

	l  *listener
	in *Instance
}

// LoneListeners are the listeners of the place's instances, which must be held. On its loop.
func (p *Place) LoneListeners() (list []LoneListener) {
	for i := range p.all {
		for _, l := range i.listeners {
			if l.in.Load() == i {
				list = append(list, LoneListener{l.state(p.Loop.Index()), l, i})
			}
		}
	}
	return list
}

// File is a duplicate of its socket, for the caller to close. On its loop.
func (one LoneListener) File() (*os.File, error) { return one.l.ln.Load().Duplicate() }

// Detach takes it from its instance, unless that has it no more. On its loop.
func (one LoneListener) Detach() Detached {
	if one.l.in.Load() != one.in {
		return nil
	}
	delete(one.in.listeners, one.l.handle)
	one.l.in.Store(nil)
	one.in.settle()
	return Detached{one.l}
}

// freezeListeners notes those that the instance has, which must be held.
func (f *Frozen) freezeListeners() {
	for _, l := range f.i.listeners {
		if l.in.Load() == f.i {
			f.listeners = append(f.listeners, l)
			f.State.Listeners = append(f.State.Listeners, l.state(f.i.place.Loop.Index()))
		}
	}
}

// saveListeners saves their states. Where one is declined, the listener moves without.
func (f *Frozen) saveListeners(k *hold) error {
	for n, l := range f.listeners {
		if k.over() {
			return &errHeld{k.limit}
		}
		state, err := f.i.saveState(l.handle)
		switch {
		case err == nil:
			f.State.Listeners[n].State = append([]byte{}, state...)
		case !errors.Is(err, errDeclined):
			return fmt.Errorf("listener %d: %w", l.handle, err)
		}
	}
	return nil
}

// forgetListeners takes those that have moved from the instance.
func (f *Frozen) forgetListeners() {
	for _, l := range f.listeners {
		if l.in.Load() == f.i {
			delete(f.i.listeners, l.handle)
			l.in.Store(nil)
			f.Left = append(f.Left, l)
		}
	}
}
