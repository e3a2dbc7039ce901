package reactor

// closeDown runs what was still posted, so that no caller waits for ever, and closes
// the connections, in rounds in which each owner has its share, until endBy. It
// reports false when a protocol's panic has cut it short: then it is to be called
// again.
func (l *Loop) closeDown() (ended bool) {
	defer func() {
		if p := recover(); p != nil {
			l.endPanicked(p)
		}
	}()
	for {
		l.turnSeq++
		late := len(l.lateShares)
		l.settle()
		for l.runInbox() {
		}
		found := l.endAll()
		l.settle()
		l.runLate(late)
		switch {
		case l.sys.Now() >= l.endBy:
			l.dropAll()
			return true
		case !found && l.postponed == 0:
			return true
		}
	}
}

// dropAll closes the connections without a word to their protocols.
func (l *Loop) dropAll() {
	dropped := 0
	for _, c := range l.slots {
		if c != nil {
			dropped++
			c.dropSilently()
		}
	}
	dropped += l.dropDatagrams()
	if dropped > 0 {
		l.r.log.Warn("the end of the loop took too long: connections were closed without a word to their protocols",
			"loop", l.index, "connections", dropped)
	}
	for l.postponed > 0 {
		for _, s := range l.lateShares {
			s.unwait()
			for len(s.posted) > 0 {
				s.nextPosted().fn()
			}
			for len(s.queue) > 0 {
				if p := s.pop(); p.call.listener != nil {
					l.dropAccepted(p.call)
				}
			}
		}
	}
}

// endAll has the protocols of all connections told that the loop ends, and
// reports whether there were any.
func (l *Loop) endAll() (found bool) {
	found = l.endDatagrams()
	for _, c := range l.slots {
		switch {
		case c == nil:
		case c.stage == stageFrozen: // nobody knows whether another process has it
			c.forget()
		default:
			c.endWith(ShuttingDown, nil)
			found = true
		}
	}
	return found
}
