package reactor

import "time"

// restAfter is how long a session must not be used to let go of its ciphers: so much at
// least, and twice as much at most.
const restAfter = time.Second

// use says that the session is used.
func (r *records) use(l *Loop) {
	if r.used {
		return
	}
	r.used = true
	if r.awake > 0 {
		return
	}
	l.awake = append(l.awake, r)
	r.awake = len(l.awake)
	if !l.rests {
		l.rests = true
		l.CallLater(restAfter, l.restSessions)
	}
}

// forgetSession is for a session that has ended, or that another loop has from now on.
func (l *Loop) forgetSession(r *records) {
	if r.awake > 0 {
		end := len(l.awake) - 1
		last := l.awake[end]
		l.awake[r.awake-1], last.awake = last, r.awake
		l.awake[end] = nil
		l.awake = l.awake[:end]
	}
	r.used, r.awake = false, 0
}

// restSessions has those sessions rest that were not used since it ran last, and comes
// again while there are others.
func (l *Loop) restSessions() {
	stay := l.awake[:0]
	for _, r := range l.awake {
		if r.used {
			r.used = false
			stay = append(stay, r)
			r.awake = len(stay)
			continue
		}
		r.awake = 0
		r.conn.Rest()
	}
	clear(l.awake[len(stay):])
	l.awake = stay
	if l.rests = len(stay) > 0; l.rests {
		l.CallLater(restAfter, l.restSessions)
		return
	}
	l.awake = nil
}
