package guest

import (
	"time"

	"github.com/wirehost/wirehost/abi"
)

// watch says what is looked at of an account's guests: an instance that has one takes
// the slower way through its callbacks. It is replaced, and never changed.
type watch struct {
	traced  bool
	conn    int32       // whose trace; 0 = all connections, and what belongs to none
	profile *Profile    // nil = none
	stream  *stream     // where the trace's lines go; nil = the log
	sample  func() bool // whether the callbacks of a new connection are noted; nil = of none
}

// rewatch replaces what is watched.
func (a *Account) rewatch(change func(*watch)) {
	a.watching.Lock()
	defer a.watching.Unlock()
	w := watch{}
	if was := a.watch.Load(); was != nil {
		w = *was
	}
	was := w.stream
	change(&w)
	if was != nil && was != w.stream {
		close(was.over)
	}
	if !w.traced && w.profile == nil && w.sample == nil {
		a.watch.Store(nil)
		return
	}
	a.watch.Store(&w)
}

// traces tells whether a callback is one that the trace is about.
func (w *watch) traces(e export, handle int32) bool {
	return w.traced && (w.conn == 0 || w.conn == handle && e != exDelayedCall)
}

// running is a callback that is being watched.
type running struct {
	export export

	traced bool
	began  time.Duration // by the loops' clock
	args   string

	gauge *gauge // nil = it is not profiled
}

// watched calls a guest's function as run does.
func (i *Instance) watched(e export, conn int32) error {
	if n := i.noted(e, conn); n != nil {
		return i.noting(n, e, conn)
	}
	return i.look(e, conn)
}

// look calls a guest's function, and traces and profiles that.
func (i *Instance) look(e export, conn int32) error {
	w := i.watch
	if !w.traced && w.profile == nil {
		return i.cell.call.CallWithStack(&i.cell.ctx, i.stack[:])
	}
	g := w.profile.gauge(i)
	var r *running
	if g != nil {
		r = &g.running // one callback runs on a loop at a time
	} else {
		r = &running{}
	}
	*r = running{export: e, traced: w.traces(e, conn), gauge: g}
	if r.traced {
		beginTrace(i, r)
	}
	i.running = r
	if g != nil {
		g.begin(i)
	}
	err := i.cell.call.CallWithStack(&i.cell.ctx, i.stack[:])
	if g != nil {
		g.end()
	}
	i.running = nil
	if r.traced {
		endTrace(i, r, err)
	}
	return err
}

// watchedCall makes a host call of a callback that is watched.
func watchedCall(i *Instance, im abi.Import, call hostCall, stack []uint64) {
	switch r := i.running; {
	case r.traced:
		tracedCall(i, im, call, stack)
	case r.gauge != nil:
		r.gauge.hostCall(i, r.export, im, call, stack)
	default:
		call(i, stack)
	}
}
