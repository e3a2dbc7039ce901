package reactor

import (
	"errors"
	"syscall"
	"time"
)

// listenBeside binds ep while others of this reactor have its port on other addresses. The
// system lets sockets share a port that all want to (SO_REUSEPORT), and does not ask when
// they began to: so neither address is without a socket for a moment. Start, or Close
// without it, ends the sharing.
func (r *Reactor) listenBeside(ep Endpoint, o ListenOptions) (FD, error) {
	for n, other := range o.Beside {
		if err := other.sharePort(true); err != nil {
			return 0, errors.Join(syscall.EADDRINUSE, err, endSharing(o.Beside[:n]))
		}
	}
	shared := o.Socket
	shared.ReusePort = true
	fd, err := r.sys.Listen(ep.network(), ep.address(), shared)
	if err != nil {
		return 0, errors.Join(err, endSharing(o.Beside))
	}
	return fd, nil
}

func endSharing(list []*Listener) error {
	var errs []error
	for _, ln := range list {
		errs = append(errs, ln.sharePort(false))
	}
	return errors.Join(errs...)
}

// sharePort lets others have the port, or ends that where its options do not say so.
func (ln *Listener) sharePort(on bool) error {
	err := ErrStopped
	if callErr := ln.onAcceptor(func() {
		if !ln.closed {
			s := ln.options.Load().Socket
			s.ReusePort = s.ReusePort || on
			err = ln.r.sys.SetListener(ln.fd, s)
		}
	}); callErr != nil {
		return callErr
	}
	return err
}

// succeed has the listeners beside which ln was bound give it what they have queued when
// they are closed, which is next, and ends the sharing of the port. On the acceptor.
func (ln *Listener) succeed() {
	if len(ln.beside) == 0 {
		return
	}
	for _, other := range ln.beside {
		other.successor = ln
	}
	ln.beside = nil
	if err := ln.r.sys.SetListener(ln.fd, ln.options.Load().Socket); err != nil {
		ln.r.log.Warn("options of a listener", "endpoint", ln.Endpoint().String(), "err", err)
	}
}

// handQueue gives the connections that the system has queued to the successor: they would
// be reset with the socket. On the acceptor.
func (ln *Listener) handQueue() {
	for range maxQueue {
		fd, err := ln.accept()
		switch {
		case err == nil:
			ln.successor.placeSocket(fd)
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
		default:
			return
		}
	}
}

const (
	// handOverTime is for how long a socket is kept that is replaced by one beside it:
	// longer than a handshake takes. Who comes meanwhile waits for a second.
	handOverTime = 100 * time.Millisecond
	handOverLook = 5 * time.Millisecond
)

// handOver has handshakes that have begun end before the socket is closed: with it they
// would be reset. The connections go to the successor. Any goroutine but the loops'.
func (ln *Listener) handOver() {
	d, ok := ln.r.sys.(interface{ dropNew(FD) error })
	a := ln.r.acceptor
	if !ok || !ln.r.isStarted() {
		return
	}
	done := make(chan struct{})
	err := a.CallFromThread(func() {
		if ln.closed || ln.successor == nil || d.dropNew(ln.fd) != nil {
			close(done)
			return
		}
		ln.stopped = true
		ln.setAccepting(false)
		until := a.sys.Now() + handOverTime
		var look func()
		look = func() {
			if ln.handQueue(); ln.closed || a.sys.Now() >= until {
				close(done)
				return
			}
			a.CallLater(handOverLook, look)
		}
		look()
	})
	if err != nil {
		return
	}
	select {
	case <-done:
	case <-a.done: // the reactor has ended, and its listeners with it
	}
}

// maxQueue is more than a system queues for a socket.
const maxQueue = 1 << 16
