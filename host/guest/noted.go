package guest

import "time"

// maxNoted is how many callbacks of a connection are noted.
const maxNoted = 64

// Noted are the callbacks of one connection.
type Noted struct {
	Callbacks []NotedCallback // the first ones
	More      int             // those that came later
}

// NotedCallback is one callback.
type NotedCallback struct {
	Name  string // the export's
	Began time.Time
	Took  time.Duration
	Trap  bool
}

// full tells whether there is no room for another callback, which it counts.
func (n *Noted) full() bool {
	if len(n.Callbacks) < maxNoted {
		return false
	}
	n.More++
	return true
}

// SetSample has the callbacks of those new connections noted for which sample is true; nil =
// of none. sample is called on event loops. It holds as SetTrace does.
func (a *Account) SetSample(sample func() bool) {
	a.rewatch(func(w *watch) { w.sample = sample })
}

// note begins to note a new connection's callbacks, where it is one of the sample.
func (c *conn) note() {
	if w := c.in.watch; w != nil && w.sample != nil && w.sample() {
		c.noted = &Noted{}
	}
}

// noted are the notes about a callback's connection, or nil.
func (i *Instance) noted(e export, handle int32) *Noted {
	if e == exDelayedCall || handle == 0 {
		return nil
	}
	c := i.cur // it may be building
	if c == nil || c.handle != handle {
		if c = i.conns.get(handle); c == nil {
			return nil
		}
	}
	return c.noted
}

// noting calls a guest's function as look does, and notes it.
func (i *Instance) noting(n *Noted, e export, handle int32) error {
	if n.full() {
		return i.look(e, handle)
	}
	began := i.guest.clocks.Wall()
	err := i.look(e, handle)
	n.Callbacks = append(n.Callbacks, NotedCallback{e.String(), began, i.guest.clocks.Wall().Sub(began), err != nil})
	return err
}

// Identity is whose connection it is, and what was noted of it.
func (c *conn) Identity() (plugin, version string, handle int32, noted *Noted) {
	return c.in.account.name, c.in.guest.name, c.handle, c.noted
}
