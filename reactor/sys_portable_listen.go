package reactor

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// readiness is what a socket tells its poller.
type readiness struct {
	mu  sync.Mutex
	reg *registration
}

// changed has the poller look at the socket. mu is held.
func (r *readiness) changed() {
	if r.reg != nil {
		r.reg.poller.mark(r.reg)
	}
}

func (r *readiness) registered() *registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reg
}

// set is attach, with mu held.
func (r *readiness) set(reg *registration) bool {
	if (reg == nil) == (r.reg == nil) {
		return false
	}
	r.reg = reg
	return true
}

// portableListener takes one connection at a time, on a goroutine, and holds it
// until it is asked for: the rest wait with the system.
type portableListener struct {
	readiness
	ln        net.Listener
	file      socketFile // of a Unix socket, where package net does not remove it
	held      net.Conn
	err       error // of the last accept, to be told
	look      bool  // an error was told: readable until the next accept, as the system's sockets are
	accepting bool
	stopped   chan struct{} // closed when accepting is over; nil where nobody waits
	closed    bool
}

func (l *portableListener) attach(reg *registration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set(reg) {
		return false
	}
	if reg != nil {
		l.startAccept()
	} else {
		l.stopAccept()
	}
	return true
}

// stopAccept ends the accepting goroutine, which else would take a connection that may be
// another process's. What it has taken is held. mu is held, but while it waits.
func (l *portableListener) stopAccept() {
	d, ok := l.ln.(interface{ SetDeadline(time.Time) error })
	if !ok || !l.accepting || d.SetDeadline(past) != nil {
		return
	}
	stopped := make(chan struct{})
	l.stopped = stopped
	l.mu.Unlock()
	<-stopped
	l.mu.Lock()
	d.SetDeadline(time.Time{}) // fails on a closed socket only
	if errors.Is(l.err, syscall.ETIMEDOUT) {
		l.err = nil
	}
}

func (l *portableListener) events() Events {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil || l.err != nil || l.look {
		return ReadEvent
	}
	return 0
}

// startAccept is called with mu held.
func (l *portableListener) startAccept() {
	if l.accepting || l.held != nil || l.err != nil || l.closed || l.reg == nil {
		return
	}
	l.look, l.accepting = false, true
	go func() {
		conn, err := l.ln.Accept()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.accepting = false
		if l.stopped != nil {
			close(l.stopped)
			l.stopped = nil
		}
		if l.closed {
			if err == nil {
				conn.Close() // nobody has it
			}
			return
		}
		l.held, l.err = conn, portableErrno(err)
		l.changed()
	}()
}

// take returns what the accepting goroutine has brought. mu is held.
func (l *portableListener) take() (net.Conn, error) {
	conn, err := l.held, l.err
	l.held, l.err = nil, nil
	switch {
	case err == nil && conn == nil:
		return nil, syscall.EAGAIN
	case err != nil:
		l.look = true
		l.changed()
	}
	return conn, err
}

func (l *portableListener) accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, err := l.take()
	if err == nil || errors.Is(err, syscall.EAGAIN) {
		l.startAccept()
	}
	return conn, err
}

// acceptNow is accept without the goroutine, which does not run after it has
// brought an error.
func (l *portableListener) acceptNow(wait time.Duration) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, err := l.take()
	if conn != nil || l.accepting {
		return conn, err
	}
	d, ok := l.ln.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return nil, syscall.EAGAIN
	}
	if err := d.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, portableErrno(err)
	}
	conn, err = l.ln.Accept()
	if err := d.SetDeadline(time.Time{}); err != nil {
		return conn, portableErrno(err)
	}
	if err = portableErrno(err); errors.Is(err, syscall.ETIMEDOUT) {
		err = syscall.EAGAIN
	}
	return conn, err
}

// close ends the accepting goroutine too, and removes a Unix path.
func (l *portableListener) close(bool) error {
	l.mu.Lock()
	l.closed = true
	held, file := l.held, l.file
	l.held = nil
	l.mu.Unlock()
	file.remove()
	err := l.ln.Close()
	if held != nil {
		held.Close() // its peer is told that nobody listens any more
	}
	return err
}

func (l *portableListener) addr() net.Addr { return l.ln.Addr() }

func (l *portableListener) netSocket() any { return l.ln }
