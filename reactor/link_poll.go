package reactor

// linkPoller is the Poller of one end of a link.
type linkPoller struct {
	Poller // nil: what a connection does not call
	end    *linkEnd
}

// Add has the end's loop tell of it.
func (p *linkPoller) Add(_ FD, _ uint64, want Events) error { return p.end.watch(true, want) }

// Modify changes what it tells.
func (p *linkPoller) Modify(_ FD, _ uint64, want Events) error { return p.end.watch(true, want) }

// Remove ends that.
func (p *linkPoller) Remove(FD) error { return p.end.watch(false, 0) }

func (e *linkEnd) watch(on bool, want Events) error {
	e.link.lock()
	defer e.link.unlock()
	e.polled, e.want = on, want
	e.list()
	return nil
}

// ready is what is to be told of it now. As on Linux, it is writable when a third of the
// other's buffer is free.
func (e *linkEnd) ready() Events {
	if !e.polled || e.connecting {
		return 0
	}
	var ev Events
	if e.in.n > 0 || e.fin || e.reset || e.err != 0 {
		ev |= ReadEvent
	}
	if e.shut || e.reset || e.err != 0 || e.other.closed || 3*e.other.in.n <= 2*linkSize {
		ev |= WriteEvent
	}
	if e.fin || e.reset {
		ev |= FinEvent
	}
	if e.fin && e.shut || e.reset || e.other.closed {
		ev |= HangupEvent
	}
	if e.err != 0 {
		ev |= ErrorEvent
	}
	return ev & (e.want | HangupEvent | ErrorEvent)
}

// list has the end's loop look at it, where there is something to tell. On its loop.
func (e *linkEnd) list() {
	if !e.listed && e.ready() != 0 {
		e.listed = true
		e.loop.links = append(e.loop.links, e)
	}
}

// changed is list for the other end's loop.
func (e *linkEnd) changed() {
	switch {
	case !e.link.apart:
		e.list()
	case !e.waking:
		e.waking = true
		// Of a loop that has ended nobody looks at anything.
		_ = e.loop.CallFromThread(e.wake)
	}
}

// wake is changed, on the end's loop.
func (e *linkEnd) wake() {
	e.link.lock()
	defer e.link.unlock()
	e.waking = false
	e.list()
}

// linkRounds is how often a turn looks at links, where callbacks make others ready.
const linkRounds = 4

// runLinks tells of what has happened on links. Like the poller it is level-triggered:
// what is ready behind that comes in the next round, or turn.
func (l *Loop) runLinks() bool {
	if len(l.links) == 0 {
		return false
	}
	if l.linksAt > 0 { // a panic has cut the last round short
		l.links[l.linksAt-1].listAgain()
	}
	for round := 0; round < linkRounds && l.linksAt < len(l.links); round++ {
		for last := len(l.links); l.linksAt < last; {
			l.linksAt++
			l.tellLink(l.links[l.linksAt-1])
			l.links[l.linksAt-1] = nil
		}
	}
	l.links = l.links[:copy(l.links, l.links[l.linksAt:])]
	l.linksAt = 0
	return true
}

func (l *Loop) tellLink(e *linkEnd) {
	e.link.lock()
	e.listed = false
	ev := e.ready()
	e.link.unlock()
	if ev == 0 {
		return
	}
	l.dispatch(Ready{Token: e.conn.token(), Events: ev})
	e.listAgain()
}

// listAgain is list behind what was told of it.
func (e *linkEnd) listAgain() {
	e.link.lock()
	e.list()
	e.link.unlock()
}
