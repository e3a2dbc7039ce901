package wirehost

import (
	"math"
	"time"
)

// LoopingCall calls a function again and again (Twisted's LoopingCall). It counts from
// its start, so that it does not drift, and a call that is late takes the place of those
// that it has missed. It belongs to the instance: one that is a connection's is to be
// stopped in its ConnectionLost.
type LoopingCall struct {
	f       func()
	reactor *Reactor
	every   time.Duration
	began   float64 // on the reactor's clock
	next    *DelayedCall
	running bool
}

// NewLoopingCall makes a call of f that is not running.
func NewLoopingCall(f func()) *LoopingCall { return &LoopingCall{f: f} }

// Start calls every so often, from now on, first at once where now is set. With 0 it is
// called in each turn of the event loop. An error is a Status: CallLater's, and ErrBusy of a
// call that is running. One that can't go on later, over the plugin's limit of timers, is
// logged, and the call is not running any more.
func (l *LoopingCall) Start(r *Reactor, every time.Duration, now bool) error {
	switch {
	case l.running:
		return ErrBusy
	case every < 0:
		return ErrInvalid
	}
	l.reactor, l.every, l.began, l.running = r, every, r.Seconds(), true
	if now {
		l.f()
	}
	err := l.wait()
	l.running = l.running && err == nil
	return err
}

// Stop ends it; inside the function too.
func (l *LoopingCall) Stop() error {
	l.running = false
	if l.next == nil {
		return nil
	}
	err := l.next.Cancel()
	l.next = nil
	return err
}

// Running tells whether it was started and not stopped.
func (l *LoopingCall) Running() bool { return l.running }

// Handle is the timer's number, for SaveState; 0 of a call that is not running.
func (l *LoopingCall) Handle() int32 {
	if l.next == nil {
		return 0
	}
	return l.next.Handle()
}

// Restore is for RestoreState: a call that was running in the old version goes on, from
// its next time on. handle is Handle's; with 0 it is not running.
func (l *LoopingCall) Restore(r *Reactor, handle int32, every time.Duration) {
	if handle == 0 {
		return
	}
	l.reactor, l.every, l.began, l.running = r, every, -1, true
	l.next = r.RestoreCall(handle, l.due)
}

// wait has it called at its next time, unless the function has started it anew.
func (l *LoopingCall) wait() error {
	if !l.running || l.next != nil {
		return nil
	}
	after := l.every
	if l.every > 0 {
		gone := time.Duration((l.reactor.Seconds() - l.began) * float64(time.Second))
		// The clock may be a little short of the time that it was asked for.
		times := math.Floor(float64(gone)/float64(l.every) + 1e-6)
		after = max(time.Duration(times+1)*l.every-gone, 0)
	}
	next, err := l.reactor.CallLater(after, l.due)
	l.next = next
	return err
}

func (l *LoopingCall) due() {
	l.next = nil
	if l.began < 0 { // restored
		l.began = l.reactor.Seconds()
	}
	l.f()
	if err := l.wait(); err != nil {
		l.running = false
		l.reactor.guest.report(LevelError, "a looping call ends: "+err.Error())
	}
}
