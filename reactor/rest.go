package reactor

import (
	"errors"
	"syscall"
)

// closeWaiting takes connections with the spare descriptor and closes them, so that
// their peers are told at once, and rests.
func (ln *Listener) closeWaiting(cause error) {
	ln.r.starvedAt.Store(int64(max(1, ln.r.sys.Now())))
	for range maxAccepts {
		if err := ln.r.sys.AcceptAndClose(ln.fd); err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				cause = err
			}
			break
		}
		ln.countRefusal(refusedDescriptors)
	}
	ln.startRest(cause)
}

// startRest stops accepting for a while: the socket stays readable, and a loop that
// only fails must not spin.
func (ln *Listener) startRest(cause error) {
	if now := ln.r.sys.Now(); ln.rest == 0 && (ln.restedAt == 0 || now-ln.restedAt >= refusalLog) {
		ln.r.log.Warn("accept failed; resting", "endpoint", ln.Endpoint().String(), "err", cause)
		ln.restedAt = now
	}
	ln.rest = min(max(2*ln.rest, minRest), maxRest)
	ln.setAccepting(false)
	ln.resting = ln.r.acceptor.CallLater(ln.rest, func() { ln.setAccepting(true) })
}
