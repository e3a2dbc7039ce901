package reactor

import (
	"errors"
	"runtime"
	"time"
)

// awaitEvents looks, yields once, and only then blocks: a peer that answers at once is
// served without a trip through the kernel's sleep (RATIONALE.md).
func (l *Loop) awaitEvents(block bool) int {
	n := l.waitPoller(0)
	if n > 0 || !block || len(l.next) > 0 || len(l.dirty) > 0 || l.spareAt < len(l.spare) || l.postponed > 0 ||
		len(l.links) > 0 || l.steps != nil {
		return n
	}
	runtime.Gosched()
	l.sleeping.Store(true)
	defer l.sleeping.Store(false)
	if l.hasInbox() {
		return l.waitPoller(0)
	}
	timeout := time.Duration(-1)
	if len(l.timers) > 0 {
		timeout = max(0, l.timers[0].when-l.sys.Now())
	}
	if l.parks > 0 && timeout != 0 {
		if n, ok := l.park(timeout); ok {
			return n
		}
	}
	return l.waitPoller(timeout)
}

// parker is a poller that can also wait as package net does, which costs the scheduler less
// while goroutines and the loop wake each other, and else more (RATIONALE.md).
type parker interface {
	// park is Wait, with a timeout that is not 0. It takes a descriptor, until unpark.
	park(ready []Ready, timeout time.Duration) (int, error)
	// unpark is for when the loop parks no more for now.
	unpark() error
}

func (l *Loop) park(timeout time.Duration) (n int, ok bool) {
	if l.parker == nil {
		l.parks = 0
		return 0, false
	}
	l.parks--
	n, err := l.parker.park(l.ready[:readyBatch], timeout)
	if ok = err == nil; !ok { // it is no part of what a poller is for
		l.parks = 0
	}
	if l.parks == 0 {
		err = errors.Join(err, l.parker.unpark())
	}
	if err != nil {
		l.r.log.Debug("parking", "loop", l.index, "err", err)
	}
	return n, ok
}

func (l *Loop) waitPoller(timeout time.Duration) int {
	room := l.ready[:readyBatch]
	for {
		n, err := l.poller.Wait(room, timeout)
		if err != nil {
			l.r.log.Error("poll", "loop", l.index, "err", err)
			return 0
		}
		if n < len(room) || len(l.lateShares) == 0 || n == maxReady {
			return n
		}
		if len(room) == len(l.ready) { // reported again, and what there was no room for
			l.ready = make([]Ready, 2*len(room))
		}
		room, timeout = l.ready[:2*len(room)], 0
	}
}

func (l *Loop) hasInbox() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inbox) > 0
}
