package guest

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// listener is a socket on which a guest listens: the reactor's Factory on one side, a handle
// on the other. It stays when the guest behind it is replaced.
type listener struct {
	account *Account
	handle  int32
	asked   reactor.Endpoint                 // as the guest has it
	bound   string                           // where it is, as far as a promise says: see endpoint
	ln      atomic.Pointer[reactor.Listener] // nil = it is promised, and has not come
	shared  bool                             // others may have its port
	in      atomic.Pointer[Instance]         // whom its connections come to; nil = nobody. Its loop sets it

	// Under account.listening.mu:
	of       *Guest // in's; nil = nobody's
	loop     int    // in's; -1 = it is not committed
	claims   int    // instances that have its handle, and are to have it
	closing  bool
	stopper  *Instance // it has stopped it, and that counts against its limit until it is closed; nil = none
	promised bool      // it is another process's, and may come from there
	came     bool      // it is from there
	left     bool      // it is another process's for good: starts here get its handle, and nothing of it
}

// listening are the listeners of an account. Any goroutine.
type listening struct {
	mu   sync.Mutex
	all  map[*listener]struct{} // until they are closed
	held bool                   // none takes connections, but those that came: an upgrade is under way
}

var errNobody = errors.New("nobody listens here any more")

// BuildProtocol gives a connection to the instance that listens, whatever the isolation. One
// that was accepted for the loop where another instance has listened is refused: it may not
// touch this one.
func (l *listener) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	i := l.in.Load()
	if i == nil || i.place.Loop != t.Loop() || !i.Usable() {
		return nil, errNobody
	}
	return i.buildProtocol(t, l.handle)
}

// AccountName is whose listener it is.
func (l *listener) AccountName() string { return l.account.name }

// share is whose time its connections take.
func (l *listener) share(on *reactor.Loop) *reactor.Share {
	if i := l.in.Load(); i != nil && i.place != nil && i.place.Loop == on {
		return i.place.Share
	}
	return nil
}

// options are those of a listener of a guest's, on a loop; -1 = it is not committed.
func (l *listener) options(g *Guest, loop int) reactor.ListenOptions {
	list := g.listens
	return reactor.ListenOptions{Loop: loop, Share: l.share, TLS: list.tls, HandshakeTimeout: list.handshake,
		Socket: reactor.SocketOptions{ReusePort: l.shared, Mode: socketMode, LeaveKept: true}}
}

// socketMode is the mode of a Unix socket's file.
const socketMode = 0o660

// bind makes a listener of an instance that takes nothing in. The first of an address is
// bound alone, so that nobody else's is there; the others share its port.
func (a *Account) bind(i *Instance, ep reactor.Endpoint) (*listener, error) {
	l := &listener{account: a, asked: ep, of: i.guest, loop: -1}
	l.in.Store(i)
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	l.shared = ep.Port != 0 && a.listening.has(ep)
	if err := l.listen(i.guest); err != nil {
		return nil, err
	}
	l.handle = a.conns.take()
	a.listening.add(l)
	return l, nil
}

// listen binds the listener's socket, for a guest.
func (l *listener) listen(g *Guest) error {
	ln, err := g.listen(nil, l.asked, l, l.options(g, -1))
	if err != nil {
		return err
	}
	if l.asked.Port != 0 && !l.shared {
		l.shared = true
		l.shared = ln.Configure(l, l.options(g, -1)) == nil // else each address has one socket on this system
	}
	l.ln.Store(ln)
	return nil
}

// add notes a listener. mu is held.
func (s *listening) add(l *listener) {
	if s.all == nil {
		s.all = map[*listener]struct{}{}
	}
	s.all[l] = struct{}{}
}

// has tells whether there is a listener at an address here. mu is held.
func (s *listening) has(ep reactor.Endpoint) bool {
	for l := range s.all {
		if l.asked == ep && !l.left {
			return true
		}
	}
	return false
}

// count is how many there are.
func (s *listening) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.all {
		if !l.left {
			n++
		}
	}
	return n
}

// Listener is one of a guest's, for who looks at it.
type Listener struct {
	Handle  int32
	Version string // the guest's that has it
	Loop    int    // of the instance that has it
	On      *reactor.Listener
}

// Listeners are those that instances have, in the order of their handles.
func (a *Account) Listeners() (list []Listener) {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	for l := range a.listening.all {
		if ln := l.ln.Load(); ln != nil && l.of != nil && l.loop >= 0 && !l.closing {
			list = append(list, Listener{l.handle, l.of.name, l.loop, ln})
		}
	}
	slices.SortFunc(list, func(x, y Listener) int { return cmp.Compare(x.Handle, y.Handle) })
	return list
}

// claim finds a listener of another version's, or process's, that an instance is to have, by
// its address; nil = there is none. It then stays until the claim ends.
func (a *Account) claim(i *Instance, ep reactor.Endpoint) *listener {
	a.listening.mu.Lock()
	defer a.listening.mu.Unlock()
	for l := range a.listening.all {
		others := l.left || l.of != nil && l.of != i.guest || a.listening.held && (l.of != nil || l.promised)
		if l.asked == ep && others && l.loop >= 0 && !l.closing &&
			i.takesOver(l) && i.listeners[l.handle] == nil {
			l.claims++
			i.own(l)
			return l
		}
	}
	return nil
}

// takesOver tells whether an instance that starts is to have another's listener. mu is held.
func (i *Instance) takesOver(l *listener) bool {
	if len(i.takes) > 0 {
		return slices.Contains(i.takes, l.handle)
	}
	return i.heir == AnyHeir || int(i.heir) == l.loop
}

// promise has an instance know a listener that is to move to it.
func (i *Instance) promise(l *listener) {
	if i.listeners[l.handle] != nil {
		return
	}
	l.account.listening.mu.Lock()
	l.claims++
	l.account.listening.mu.Unlock()
	i.own(l)
}

// give has an instance have the listener, on its loop, from now on.
func (l *listener) give(i *Instance) {
	loop, ln := i.place.Loop.Index(), l.ln.Load()
	l.in.Store(i)
	if err := ln.Configure(l, l.options(i.guest, loop)); err != nil {
		l.account.warn(listenerNote, "version", i.guest.name, "endpoint", ln.Endpoint().String(), "err", err)
	}
	s := &l.account.listening
	s.mu.Lock()
	defer s.mu.Unlock()
	l.of, l.loop, l.promised = i.guest, loop, false
	if !s.held || l.came {
		_ = ln.Start() // it fails where the reactor has ended
	}
}

// listenerNote is the line of a listener that stays as it was before.
const listenerNote = "a guest's listener keeps its settings"

// endClaim lets go of a claim.
func (l *listener) endClaim() {
	l.account.listening.mu.Lock()
	l.claims--
	l.account.listening.mu.Unlock()
	l.closeUnused()
}

// leave says that its instance does not have it any more. On that one's goroutine.
func (l *listener) leave() {
	l.in.Store(nil)
	l.account.listening.mu.Lock()
	l.of = nil
	l.account.listening.mu.Unlock()
	l.closeUnused()
}

// closeUnused closes it where nobody has it, or is to have it.
func (l *listener) closeUnused() {
	s := &l.account.listening
	s.mu.Lock()
	unused := l.of == nil && l.claims == 0 && !l.closing && !l.left && !(l.promised && s.held)
	l.closing = l.closing || unused
	if unused && l.stopper != nil {
		l.stopper.stopped.Add(1)
	}
	s.mu.Unlock()
	switch ln := l.ln.Load(); {
	case !unused:
	case ln == nil:
		l.forget()
	default:
		ln.CloseSoon(l.forget)
	}
}

// forget is the end of it, and of its handle.
func (l *listener) forget() {
	s := &l.account.listening
	s.mu.Lock()
	delete(s.all, l)
	if l.stopper != nil {
		l.stopper.stopped.Add(-1)
	}
	s.mu.Unlock()
	l.account.conns.free(l.handle)
}

// Heir says of a start which listeners are to move to the instance, from another version's:
// those on the loop of that number, NoHeir or AnyHeir.
type Heir int

// Heirs of no number.
const (
	NoHeir  Heir = -2 // none
	AnyHeir Heir = -1 // those on all loops
)

// own has a listener be among the instance's.
func (i *Instance) own(l *listener) {
	if i.listeners == nil {
		i.listeners = map[int32]*listener{}
	}
	i.listeners[l.handle] = l
}

// Listens tells whether the instance has a listener.
func (i *Instance) Listens() bool {
	for _, l := range i.listeners {
		if l.in.Load() == i {
			return true
		}
	}
	return false
}

// commitListeners has those that the start has made take connections.
func (i *Instance) commitListeners() {
	for _, l := range i.listeners {
		if l.in.Load() == i {
			l.give(i)
		}
	}
	i.bindOverdue()
}

// settleClaims gives the instance what it has claimed and nobody else has, and ends its
// other claims: what was to move has moved, but for promises, and what is on its way from
// another loop.
func (i *Instance) settleClaims() {
	for handle, l := range i.listeners {
		if l.in.Load() == i || l.awaited() {
			continue
		}
		switch orphaned, detached := l.without(i); {
		case detached:
			continue
		case orphaned:
			l.give(i)
		default:
			delete(i.listeners, handle)
		}
		l.endClaim()
	}
}

// without tells whether nobody has it any more that would keep it from an heir, since whoever
// had it has trapped, or DetachListeners has taken it to bring it.
func (l *listener) without(heir *Instance) (orphaned, detached bool) {
	l.account.listening.mu.Lock()
	defer l.account.listening.mu.Unlock()
	here := heir.heir == AnyHeir || l.loop == heir.place.Loop.Index()
	return l.of == nil && here && !l.promised, l.of != nil && l.in.Load() == nil
}

// dropListeners lets go of all of the instance's listeners, and tells whether it had any.
// On its goroutine.
func (i *Instance) dropListeners() (had bool) {
	for _, l := range i.listeners {
		if l.in.Load() == i {
			had = true
			l.leave()
		} else {
			l.endClaim()
		}
	}
	i.listeners = nil
	return had
}

// loseListeners lets go of the listeners of an instance that can't go on. Another is started
// in its place.
func (i *Instance) loseListeners() {
	if i.dropListeners() && i.place.Lost != nil && !i.place.closing {
		i.place.Lost()
	}
}

// TakeListeners has the listeners of other instances on the loop, of another version, be this
// one's, which is committed and begins to serve: what its start has found to listen on is its
// own, or not there any more.
func (i *Instance) TakeListeners(from ...*Instance) {
	i.takeListeners(from...)
	for _, other := range from {
		other.settle()
	}
	i.settle()
}

// takeListeners is TakeListeners, and none of them ends for it.
func (i *Instance) takeListeners(from ...*Instance) {
	for _, other := range from {
		for handle, l := range other.listeners {
			if l.in.Load() == other {
				delete(other.listeners, handle)
				i.inherit(l)
			}
		}
	}
	i.settleClaims()
}

// Detached are listeners that nobody has, on their way to another loop.
type Detached []*listener

// Listening are the sockets that the place's instances listen on. On its loop.
func (p *Place) Listening() (list []*reactor.Listener) {
	for i := range p.all {
		for _, l := range i.listeners {
			if l.in.Load() == i {
				list = append(list, l.ln.Load())
			}
		}
	}
	return list
}

// DetachListeners takes them from the instances. They must have been stopped, and what they
// have accepted have its protocol. On the loop.
func (p *Place) DetachListeners() (list Detached) {
	for i := range p.all {
		for handle, l := range i.listeners {
			if l.in.Load() != i {
				continue
			}
			delete(i.listeners, handle)
			l.in.Store(nil)
			list = append(list, l)
		}
		i.settle()
	}
	return list
}

// Attach has the listeners be an instance's that is committed. On its loop.
func (list Detached) Attach(i *Instance) {
	for _, l := range list {
		i.inherit(l)
	}
}

// Close closes them. On no loop where one might still have them.
func (list Detached) Close() {
	for _, l := range list {
		l.leave()
	}
}

// inherit has an instance have a listener that was another's.
func (i *Instance) inherit(l *listener) {
	claimed := i.listeners[l.handle] != nil
	i.own(l)
	l.give(i)
	if claimed {
		l.endClaim()
	}
}

// bindStatus is the status of an error of listen, which is told to whoever runs the server.
func (i *Instance) bindStatus(ep reactor.Endpoint, err error) abi.Status {
	i.account.Note(hclog.Warn, bindNote, "version", i.guest.name, "endpoint", ep.String(), "err", err)
	for status, causes := range bindCauses {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return status
			}
		}
	}
	return abi.EINVAL
}

// bindCauses are the system's errors by the statuses that say as much.
var bindCauses = map[abi.Status][]error{ // never changed
	abi.EBUSY: {syscall.EADDRINUSE},
	abi.EPERM: {syscall.EACCES, syscall.EPERM},
	abi.E2BIG: {syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM},
}

const bindNote = "a guest can't listen"
