package host

import (
	"container/list"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Back-off after failed starts. A trap in a callback is none: the next
// connection gets a new instance at once, so that one hostile client can't shut
// the others out.
const (
	minBackoff   = time.Second
	maxBackoff   = 30 * time.Second
	backoffReset = 10 * time.Second // after so long without a failed start, back-off begins anew
)

// Lines that a guest can cause as often as it likes.
const (
	startNote = "plugin does not start"
	againNote = "plugin started again"
	moveNote  = "no instance for a connection to move to"
)

// slot is one version on one event loop. Only that loop uses it.
type slot struct {
	host   *Host
	plugin *plugin
	ver    *version
	place  *guest.Place
	inst   *guest.Instance // the one for new connections, of isolation loop and shared

	failures int
	okSince  time.Duration // the first good start after the last failed one; 0 = none
	until    time.Duration // no start before
	err      error         // why the last start failed
	retry    *reactor.DelayedCall

	succeeds []*slot       // on the loop, whose listeners its instance is to have
	listened time.Duration // when an instance that listened was last replaced

	waiters  list.List // of *waiter, those that have waited longest first
	launches []*launch // in the order in which they were asked for
	handedOn bool      // no new connections come
	waiting  bool      // they wait: the instance for them is frozen
}

func newSlot(v *version, l *reactor.Loop) *slot {
	p := v.plugin
	s := &slot{host: p.host, plugin: p, ver: v,
		place: &guest.Place{Guest: v.guest, Loop: l, Share: p.share(l), Took: &p.took[l.Index()]}}
	if v.cfg.Isolation != config.IsolationConnection {
		s.place.Lost = s.startForListeners
	}
	return s
}

// buildProtocol is BuildProtocol for one of the loop's slots.
func (s *slot) buildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	switch {
	case s.place.Over():
		return nil, errNotHere
	case s.waiting:
		return nil, s.wait(t)
	}
	i, err := s.instance()
	switch {
	case errors.Is(err, errLate):
		return nil, s.awaitInstance(t)
	case err != nil:
		return nil, err
	}
	return i.BuildProtocol(t)
}

// running tells whether the instance for new connections, of isolation loop and shared,
// is there.
func (s *slot) running() bool { return s.inst != nil && s.inst.Dead() == nil }

// instance is the one for a new connection; errLate says that it is to be waited
// for.
func (s *slot) instance() (*guest.Instance, error) {
	if s.running() {
		return s.inst, nil
	}
	s.inst = nil
	if now := s.place.Loop.Now(); s.err != nil && now < s.until && !passing(s.err) {
		return nil, fmt.Errorf("plugin %s starts again in %v: %w", s.plugin.name, s.until-now, s.err)
	}
	if len(s.launches) > 0 || !s.ver.pace.quick() {
		return nil, errLate
	}
	spent := s.host.spent
	began := spent()
	i, err := s.ver.quickInstance(s.place, s.heir())
	s.place.Share.Spent(spent() - began)
	switch {
	case err == nil:
		s.adoptInstance(i)
		return i, nil
	case errors.Is(err, guest.ErrSlow):
		return nil, errLate
	case !passing(err):
		s.noteFailure(err)
	}
	return nil, err
}

// adoptInstance takes a started instance.
func (s *slot) adoptInstance(i *guest.Instance) {
	i.Commit(s.place)
	if s.ver.cfg.Isolation != config.IsolationConnection {
		s.inst = i
		s.takeListeners()
	}
	s.noteStart()
}

// noteStart notes that the plugin has started.
func (s *slot) noteStart() {
	if s.okSince == 0 {
		s.okSince = max(1, s.place.Loop.Now())
	}
	if s.err != nil {
		s.clearFailure()
		s.plugin.account.Note(hclog.Info, againNote, "version", s.ver.name, "loop", s.place.Loop.Index())
		s.host.announceReady()
	}
}

// noteFailure sets the time of the next start, and tries it then, connection or not,
// so that readiness comes back by itself.
func (s *slot) noteFailure(err error) {
	loop := s.place.Loop
	now := loop.Now()
	if s.okSince != 0 && now-s.okSince >= backoffReset {
		s.failures = 0
	}
	s.okSince = 0
	wait := min(minBackoff<<min(s.failures, 10), maxBackoff)
	s.failures++
	if s.err == nil {
		s.plugin.failing.Add(1)
	}
	s.err, s.until = err, now+wait
	s.plugin.account.Note(hclog.Error, startNote, "version", s.ver.name, "loop", loop.Index(), "again_in",
		wait, "err", guest.CleanLine(err))
	s.cancelRetry()
	s.retry = loop.CallLater(wait, func() { s.startAhead(nil) })
}

func (s *slot) clearFailure() {
	if s.err != nil {
		s.err = nil
		s.plugin.failing.Add(-1)
	}
}

func (s *slot) cancelRetry() {
	if s.retry != nil {
		s.retry.Cancel()
		s.retry = nil
	}
}

// startAhead starts the plugin off the loop, before a connection needs it, if it does not
// run. An instance for one connection, which nobody asked for, ends again. done, where it
// is set, is told when that is over.
func (s *slot) startAhead(done func()) {
	s.retry = nil
	st := &launch{slot: s, ahead: true, done: done}
	if s.handedOn || s.place.Closing() || s.running() || len(s.launches) > 0 || s.beginLaunch(st) != nil {
		st.tellDone() // it runs, or has as many instances as it may
	}
}

// beginClosing says that no new connections come: instances without connections end
// now, the others with their last one.
func (s *slot) beginClosing() {
	s.giveUpStarts()
	s.place.BeginClosing()
}

// beginLeaving is beginClosing where connections may still come, as plugin.beginLeaving says.
func (s *slot) beginLeaving() {
	s.cancelRetry()
	s.clearFailure()
	s.place.BeginClosing()
}

// giveUpStarts gives up what is to be done about starts.
func (s *slot) giveUpStarts() {
	s.handOn()
	s.cancelRetry()
	s.clearFailure()
}

// dropEvery spreads the closing of a dropped version's connections.
const dropEvery = time.Millisecond

// dropConnections closes the slot's connections, one after the other.
func (s *slot) dropConnections() {
	for c := range s.place.Connections() {
		c.Transport.Abort(reactor.Replaced, nil)
		s.place.Loop.CallLater(dropEvery, s.dropConnections)
		return
	}
}
