package host

import (
	"container/list"
	"errors"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// A launch starts an instance off the loops: the module is instantiated and called, up to
// startFactory, on a goroutine of its own, where that takes more than a few ms. The
// connections that it is for wait for it (reactor.Later), not their loop.

// errLate says that an instance is to be waited for.
var errLate = errors.New("the instance is being started")

// waiter is a connection that waits for an instance: its reactor.Later. On its
// loop.
type waiter struct {
	slot *slot
	t    reactor.Transport
	at   *list.Element   // in slot.waiters; nil when it is to ask again
	inst *guest.Instance // its own, started and not committed; of isolation connection
	err  error           // why there is none
}

func (w *waiter) Error() string { return errLate.Error() }

// BuildProtocol makes the protocol when the start is over. If the version was
// replaced meanwhile, that is the next one's matter.
func (w *waiter) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	s, i := w.slot, w.inst
	w.inst = nil
	switch {
	case w.err != nil:
		return nil, w.err
	case s.handedOn:
		if i != nil {
			i.Close()
		}
		return s.plugin.BuildProtocol(t)
	case i != nil && s.place.Over():
		i.Close()
		return nil, errNotHere
	case i != nil:
		s.adoptInstance(i)
		return i.BuildProtocol(t)
	}
	return s.buildProtocol(t)
}

// Gone says that the connection has ended. What was started for it is the next
// one's.
func (w *waiter) Gone() {
	s := w.slot
	if w.at != nil {
		s.waiters.Remove(w.at)
		w.at = nil
	}
	if i := w.inst; i != nil {
		w.inst = nil
		s.offerInstance(i)
	}
	s.trimLaunches()
}

// askAgain has w's connection ask again.
func (s *slot) askAgain(w *waiter) {
	s.waiters.Remove(w.at)
	w.at = nil
	w.t.BuildAgain()
}

// awaitInstance has a connection wait for an instance, and launches one where none is being
// started that it can have. It returns its reactor.Later, or why there is none.
func (s *slot) awaitInstance(t reactor.Transport) error {
	if s.ver.cfg.Isolation == config.IsolationConnection || len(s.launches) == 0 {
		if err := s.beginLaunch(&launch{slot: s}); err != nil {
			return err
		}
	}
	return s.wait(t)
}

// wait has a connection wait until askAgain.
func (s *slot) wait(t reactor.Transport) *waiter {
	w := &waiter{slot: s, t: t}
	w.at = s.waiters.PushBack(w)
	return w
}

// beginLaunch begins a launch.
func (s *slot) beginLaunch(st *launch) error {
	if err := s.ver.takePlace(); err != nil {
		return err
	}
	st.heir = s.heir()
	s.launches = append(s.launches, st)
	s.plugin.launched.Add(1)
	s.ver.launcher.add(st, s.host.launchesAtOnce)
	return nil
}

// finishLaunch takes what became of a launch.
func (s *slot) finishLaunch(st *launch) {
	s.forgetLaunch(st)
	defer st.tellDone()
	defer s.serveSockets()
	switch {
	case s.handedOn, s.place.Over():
		if st.inst != nil {
			st.inst.Close()
		}
		s.releaseWaiters(nil) // which are told so
	case st.err != nil:
		s.failLaunch(st)
	case s.ver.cfg.Isolation == config.IsolationConnection:
		s.noteStart()
		s.offerInstance(st.inst)
		s.trimLaunches()
	case s.running():
		st.inst.Close()
		s.releaseWaiters(nil)
	default:
		s.adoptInstance(st.inst)
		if s.place.Closing() && s.waiters.Len() == 0 { // who it was for has gone
			st.inst.EndWhenEmpty()
		}
		s.releaseWaiters(nil)
	}
}

func (s *slot) forgetLaunch(st *launch) {
	for n, other := range s.launches {
		if other == st {
			s.launches = append(s.launches[:n], s.launches[n+1:]...)
			return
		}
	}
}

// failLaunch refuses those who waited for a launch that has failed: one alone where
// that was no fault of the guest's and each waits for its own.
func (s *slot) failLaunch(st *launch) {
	if !passing(st.err) || st.ahead {
		s.noteFailure(st.err)
	} else if s.ver.cfg.Isolation == config.IsolationConnection {
		if e := s.waiters.Front(); e != nil {
			w := e.Value.(*waiter)
			w.err = st.err
			s.askAgain(w)
		}
		s.trimLaunches()
		return
	}
	s.releaseWaiters(st.err)
	s.trimLaunches()
}

// releaseWaiters has all that wait ask again, or fails them.
func (s *slot) releaseWaiters(err error) {
	for e := s.waiters.Front(); e != nil; e = s.waiters.Front() {
		w := e.Value.(*waiter)
		w.err = err
		s.askAgain(w)
	}
}

// offerInstance gives a started instance to the connection that has waited longest, or ends it.
func (s *slot) offerInstance(i *guest.Instance) {
	e := s.waiters.Front()
	if e == nil || s.handedOn {
		if s.handedOn || !s.offerSocket(i) {
			i.Close()
		}
		return
	}
	w := e.Value.(*waiter)
	w.inst = i
	s.askAgain(w)
}

// trimLaunches drops launches that have not begun and that no connection waits for.
func (s *slot) trimLaunches() {
	wanted := s.waiters.Len() + s.idleSockets()
	if wanted > 0 && s.ver.cfg.Isolation != config.IsolationConnection {
		return
	}
	for n := len(s.launches) - 1; n >= 0 && len(s.launches) > wanted; n-- {
		if st := s.launches[n]; !st.ahead && st.drop() {
			s.forgetLaunch(st)
		}
	}
}

// handOn says that another slot takes new connections, or none does: those that
// wait ask there.
func (s *slot) handOn() {
	s.handedOn = true
	for _, st := range s.launches {
		st.drop()
	}
	s.releaseWaiters(nil)
}
