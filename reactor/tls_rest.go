package reactor

import (
	"slices"
	"time"
)

// restAfter is how long a session must not be used to let go of its ciphers: so much at
// least, and twice as much at most.
const restAfter = time.Second

// use says that the session is used.
func (r *records) use(l *Loop) {
	if r.used {
		return
	}
	r.used = true
	if r.awake {
		return
	}
	r.awake = true
	l.awake = append(l.awake, r)
	if len(l.awake) == 1 {
		l.CallLater(restAfter, l.restSessions)
	}
}

// forgetSession is for a session that another loop has from now on.
func (l *Loop) forgetSession(r *records) {
	if n := slices.Index(l.awake, r); n >= 0 {
		l.awake = slices.Delete(l.awake, n, n+1)
	}
	r.used, r.awake = false, false
}

// restSessions has those sessions rest that were not used since it ran last, and comes
// again while there are others.
func (l *Loop) restSessions() {
	stay := l.awake[:0]
	for _, r := range l.awake {
		if r.used {
			r.used = false
			stay = append(stay, r)
			continue
		}
		r.awake = false
		r.conn.Rest()
	}
	clear(l.awake[len(stay):])
	l.awake = stay
	if len(stay) > 0 {
		l.CallLater(restAfter, l.restSessions)
		return
	}
	l.awake = nil
}
