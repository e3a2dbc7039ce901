package host

import (
	"container/list"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// Back-off after failed starts. A trap in a callback is none: the next
// connection gets a new instance at once, so that one hostile client can't shut
// the others out.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
	healthy    = 10 * time.Second // after so long without a failed start, back-off begins anew
)

// slot is one version on one event loop. Only that loop uses it.
type slot struct {
	ver   *version
	loop  *reactor.Loop
	inst  *instance // the one for new connections, of isolation loop and shared
	all   map[*instance]struct{}
	ended bool           // its instances end with their last connection
	took  *callbacks     // the plugin's, on this loop
	share *reactor.Share // the same

	failures int
	okSince  time.Duration // the first good start after the last failed one; 0 = none
	until    time.Duration // no start before
	err      error         // why the last start failed
	retry    *reactor.DelayedCall

	waiters  list.List // of *waiter, those that have waited longest first
	starts   []*start  // off the loop, in the order in which they were asked for
	handedOn bool      // no new connections come
}

func newSlot(v *version, l *reactor.Loop) *slot {
	return &slot{ver: v, loop: l, all: map[*instance]struct{}{}, took: &v.plugin.took[l.Index()], share: v.plugin.share(l)}
}

// instance is the one for a new connection; errLate says that it is to be waited
// for.
func (s *slot) instance() (*instance, error) {
	if s.inst != nil && s.inst.dead == nil {
		return s.inst, nil
	}
	s.inst = nil
	if now := s.loop.Now(); s.err != nil && now < s.until && !passing(s.err) {
		return nil, fmt.Errorf("plugin %s starts again in %v: %w", s.ver.plugin.name, s.until-now, s.err)
	}
	if len(s.starts) > 0 || !s.ver.pace.quick() {
		return nil, errLate
	}
	began := s.ver.plugin.host.spent()
	i, err := s.ver.quickInstance()
	s.share.Spent(s.ver.plugin.host.spent() - began)
	switch {
	case err == nil:
		s.adopt(i)
		return i, nil
	case errors.Is(err, errSlow):
		return nil, errLate
	case !passing(err):
		s.failed(err)
	}
	return nil, err
}

// passing tells the failures of a start that are no fault of the guest's. They
// refuse a connection, and the next one tries again.
func passing(err error) bool { return errors.Is(err, errInstances) || errors.Is(err, errNoRoom) }

// adopt takes a started instance.
func (s *slot) adopt(i *instance) {
	i.commit(s)
	if s.ver.cfg.Isolation != config.IsolationConnection {
		s.inst = i
	}
	s.started()
}

func (s *slot) started() {
	if s.okSince == 0 {
		s.okSince = max(1, s.loop.Now())
	}
	if s.err != nil {
		s.err = nil
		s.ver.plugin.failing.Add(-1)
		s.ver.plugin.note(hclog.Info, againNote, "version", s.ver.name, "loop", s.loop.Index())
		s.ver.plugin.host.announce()
	}
}

// failed sets the time of the next start, and tries it then, connection or not,
// so that readiness comes back by itself.
func (s *slot) failed(err error) {
	now := s.loop.Now()
	if s.okSince != 0 && now-s.okSince >= healthy {
		s.failures = 0
	}
	s.okSince = 0
	wait := min(minBackoff<<min(s.failures, 10), maxBackoff)
	s.failures++
	if s.err == nil {
		s.ver.plugin.failing.Add(1)
	}
	s.err, s.until = err, now+wait
	s.ver.plugin.note(hclog.Error, startNote, "version", s.ver.name, "loop", s.loop.Index(), "again in", wait.String(), "err", clean([]byte(firstLine(err))))
	if s.retry != nil {
		s.retry.Cancel()
	}
	s.retry = s.loop.CallLater(wait, func() { s.rehearse(nil) })
}

// rehearse starts the plugin off the loop, if it does not run. An instance for one
// connection, which nobody asked for, ends again. done, where it is set, is told
// when that is over.
func (s *slot) rehearse(done func()) {
	s.retry = nil
	st := &start{slot: s, rehearsal: true, done: done}
	if s.handedOn || s.inst != nil && s.inst.dead == nil || len(s.starts) > 0 || s.begin(st) != nil {
		st.tell() // it runs, or has as many instances as it may
	}
}

// end says that no new connections come: instances without connections end now,
// the others with their last one. On the slot's loop.
func (s *slot) end() {
	s.ended = true
	s.quiet()
	for i := range s.all {
		i.settle()
	}
}

// quiet gives up what it has to do about starts.
func (s *slot) quiet() {
	s.handOn()
	if s.retry != nil {
		s.retry.Cancel()
		s.retry = nil
	}
	if s.err != nil {
		s.err = nil
		s.ver.plugin.failing.Add(-1)
	}
}

// closeConnections ends the slot's connections with a reason. On its loop.
func (s *slot) closeConnections(reason reactor.Reason) (closed int) {
	for i := range s.all {
		for _, c := range i.conns {
			c.t.Abort(reason, nil)
			closed++
		}
	}
	return closed
}

// connections counts the slot's connections. On its loop.
func (s *slot) connections() (n int) {
	for i := range s.all {
		n += len(i.conns)
	}
	return n
}
