package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ListenFile is Listen with a socket that listens already: another process's, such as the
// one before this or systemd. It must be bound where ep says; one with port 0, or with
// a name that resolves to the socket's address, will do. The caller keeps f and closes
// it. The file of a Unix socket stays when the Listener is closed, until Own is called.
// Any goroutine; a name may block.
func (r *Reactor) ListenFile(f *os.File, ep Endpoint, fac Factory, o ListenOptions) (*Listener, error) {
	o, err := r.checkOptions(ep, o)
	if err != nil {
		return nil, err
	}
	fd, err := r.sys.Open(f, true)
	if err == nil {
		if err = r.checkBound(r.sys.LocalAddr(fd), ep); err != nil {
			_ = r.sys.Close(fd) // only a duplicate
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s with %s: %w", ep, f.Name(), err)
	}
	ln := r.newListener(fd, ep, fac, o)
	if err := ln.setSocket(); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// setSocket gives a socket that was bound by another its options.
func (ln *Listener) setSocket() error {
	o := ln.options.Load().Socket
	if o == (SocketOptions{}) {
		return nil
	}
	if err := ln.r.sys.SetListener(ln.fd, o); err != nil {
		return fmt.Errorf("reactor: options of %s: %w", ln.Endpoint(), err)
	}
	return nil
}

// lookupPatience bounds the resolution of a listener's name.
const lookupPatience = 5 * time.Second

// checkBound tells whether a is what ep names.
func (r *Reactor) checkBound(a net.Addr, ep Endpoint) error {
	found := fmt.Errorf("found a socket that is bound to %v", a)
	if a, ok := a.(*net.UnixAddr); ok {
		if ep.isPath() && samePath(a.Name, ep.Path) {
			return nil
		}
		return found
	}
	at := addrPortOf(a)
	if !at.IsValid() || ep.isPath() || ep.Port != 0 && ep.Port != at.Port() {
		return found
	}
	bound := at.Addr()
	if ep.Host == "" {
		if bound.IsUnspecified() {
			return nil
		}
		return found
	}
	if wanted, err := netip.ParseAddr(ep.Host); err == nil {
		// Package net listens on [::] for 0.0.0.0, where a socket of IPv6 takes IPv4, too.
		if wanted.Unmap() == bound || wanted == netip.IPv4Unspecified() && bound == netip.IPv6Unspecified() {
			return nil
		}
		return found
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupPatience)
	defer cancel()
	list, err := r.lookup(ctx, "ip", ep.Host)
	if err != nil {
		return fmt.Errorf("%w: %w", found, err)
	}
	if !slices.ContainsFunc(list, func(wanted netip.Addr) bool { return wanted.Unmap() == bound }) {
		return fmt.Errorf("%w, wanted one of %v", found, list)
	}
	return nil
}

// samePath compares paths of sockets, one of which may be relative.
func samePath(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return a == b || errA == nil && errB == nil && absA == absB
}

// File is a duplicate of the listening socket, closed on exec, for ListenFile in another
// process. The caller closes it. Any goroutine but the loops'.
func (ln *Listener) File() (f *os.File, err error) {
	err = ErrStopped
	if callErr := ln.onAcceptor(func() {
		if !ln.closed {
			f, err = ln.r.sys.File(ln.fd)
		}
	}); callErr != nil {
		return nil, callErr
	}
	return f, err
}

// Duplicate is File for a loop. The listener must have been stopped, and nobody may close it
// meanwhile.
func (ln *Listener) Duplicate() (*os.File, error) { return ln.r.sys.File(ln.fd) }

// Start takes connections from now on, also after Stop. Any goroutine.
func (ln *Listener) Start() error {
	a := ln.r.acceptor
	return a.CallFromThread(func() {
		a.listeners[ln.token] = ln
		ln.stopped = false
		ln.succeed()
		ln.setAccepting(true)
	})
}

// Stop takes no more connections until Start. The socket goes on listening: the system
// keeps what comes meanwhile, for Start or for another process that has the socket. It
// returns when those that were taken are with their loops. Any goroutine but the loops'.
func (ln *Listener) Stop() error { return ln.onAcceptor(ln.stopAccepting) }

func (ln *Listener) stopAccepting() {
	if ln.stopped || ln.closed {
		return
	}
	ln.stopped = true
	if ln.resting != nil {
		ln.resting.Cancel()
	}
	ln.setAccepting(false)
	if ln.r.acceptor.listeners[ln.token] == nil { // Start was never called
		return
	}
	// The portable Sys may hold one that it has taken.
	if fd, err := ln.accept(); err == nil {
		ln.placeSocket(fd)
	}
}

// Own takes over the file of ListenFile's Unix socket, which is this process's from now
// on: it gets its mode and its owners, and Close removes it. Any goroutine but the loops'.
func (ln *Listener) Own() error {
	var setErr error
	err := ln.onAcceptor(func() {
		if !ln.closed {
			ln.r.sys.RemoveAtClose(ln.fd, true)
			setErr = ln.setSocket()
		}
	})
	return errors.Join(err, setErr)
}

// Leave is Close for a socket that another process has from now on: a Unix socket's file
// stays, and no connection that waits is lost. Any goroutine but the loops'.
func (ln *Listener) Leave() error {
	if err := ln.onAcceptor(func() {
		ln.stopAccepting()
		if !ln.closed {
			ln.r.sys.RemoveAtClose(ln.fd, false)
		}
	}); err != nil { // the reactor has ended, and its listeners with it
		return nil
	}
	return ln.Close()
}

// Close stops listening; live connections go on. It returns when the address
// is free again. Any goroutine but the loops'.
func (ln *Listener) Close() error {
	if ln.inside {
		ln.shut.Store(true)
		return nil
	}
	ln.handOver()
	if err := ln.onAcceptor(ln.stopListening); err != nil { // the reactor has ended, and its listeners with it
		return nil
	}
	ln.r.removeListener(ln)
	return endSharing(ln.beside) // which it has, where it was never started
}

// CloseSoon is Close, for a loop: it waits for nothing, and closed is called, on the acceptor or
// after the reactor's end, when the address is free again. Any goroutine.
func (ln *Listener) CloseSoon(closed func()) {
	err := ln.r.acceptor.CallFromThread(func() {
		ln.stopListening()
		ln.r.removeListener(ln)
		closed()
	})
	if err != nil { // the reactor has ended, and its listeners with it
		closed()
	}
}

// stopListening is Close on the acceptor.
func (ln *Listener) stopListening() {
	if ln.closed {
		return
	}
	ln.closed = true
	ln.setAccepting(false)
	if ln.resting != nil {
		ln.resting.Cancel()
	}
	if ln.telling != nil {
		ln.telling.Cancel()
	}
	ln.tellRefusals()
	delete(ln.r.acceptor.listeners, ln.token)
	if ln.successor != nil {
		ln.handQueue()
	}
	if err := ln.r.sys.Close(ln.fd); err != nil {
		ln.r.log.Warn("closing a listener", "endpoint", ln.Endpoint().String(), "err", err)
	}
}

// onAcceptor has fn run on the acceptor, and returns when it has.
func (ln *Listener) onAcceptor(fn func()) error {
	done := make(chan struct{})
	if err := ln.r.acceptor.CallFromThread(func() { fn(); close(done) }); err != nil {
		return err
	}
	ln.r.awaitLoop(done)
	return nil
}
