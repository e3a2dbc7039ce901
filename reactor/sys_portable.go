package reactor

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// portableLinger is how long a closed socket may make no progress with
	// the bytes that it has taken before they are given up.
	portableLinger = 30 * time.Second
	// shedWait is how long AcceptAndClose looks for a connection. Package net
	// can't be asked without waiting at all.
	shedWait = time.Millisecond
)

// portableSys emulates non-blocking sockets with level-triggered readiness over
// package net, for systems that have no backend of their own. Sockets are read
// ahead and written behind by goroutines that exist only while there is
// something to do: an idle connection costs one that reads, with a small
// buffer. An FD is a number that is never used twice.
type portableSys struct {
	start  time.Time
	kept   kept
	linger time.Duration
	bufs   portableBufs

	mu      sync.RWMutex
	sockets map[FD]portableSocket
	last    FD
	closing map[*portableStream]struct{} // closed, and still sending
	drained chan struct{}                // closed when closing is empty; nil where nobody waits

	spareMu sync.Mutex
	spare   *os.File // kept in reserve for AcceptAndClose; nil when it could not be had
}

// portableSocket is what an FD stands for: a stream or a listening socket.
type portableSocket interface {
	// attach sets the poller's registration; nil takes it away. It reports
	// false where there is one already, or none to take away.
	attach(*registration) bool
	registered() *registration
	// events are those that hold now.
	events() Events
	close(reset bool) error
	addr() net.Addr
	netSocket() any // package net's; nil while there is none
}

func newPortableSys() Sys {
	s := &portableSys{
		start: time.Now(), linger: portableLinger,
		sockets: map[FD]portableSocket{}, closing: map[*portableStream]struct{}{},
	}
	s.openSpare()
	return s
}

func (s *portableSys) Now() time.Duration { return time.Since(s.start) }

func (s *portableSys) add(sock portableSocket) FD {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.sockets[s.last] = sock
	return s.last
}

func (s *portableSys) socket(fd FD) (portableSocket, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sock, ok := s.sockets[fd]; ok {
		return sock, nil
	}
	return nil, syscall.EBADF
}

func (s *portableSys) stream(fd FD) (*portableStream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch sock := s.sockets[fd].(type) {
	case *portableStream:
		return sock, nil
	case nil:
		return nil, syscall.EBADF
	}
	return nil, syscall.ENOTCONN
}

func (s *portableSys) listening(fd FD) (*portableListener, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch sock := s.sockets[fd].(type) {
	case *portableListener:
		return sock, nil
	case nil:
		return nil, syscall.EBADF
	}
	return nil, syscall.EINVAL
}

// Listen's error is package net's.
func (s *portableSys) Listen(network, address string, o SocketOptions) (FD, error) {
	ln, err := listenNet(network, address, o)
	if err != nil {
		return 0, err
	}
	if o.LeaveKept {
		if err := s.leaveKept(ln); err != nil {
			return 0, errors.Join(err, ln.Close())
		}
	}
	return s.add(&portableListener{ln: ln, file: takeFile(ln)}), nil
}

func (s *portableSys) SetListener(l FD, o SocketOptions) error {
	ln, err := s.listening(l)
	if err != nil {
		return err
	}
	if _, unix := ln.ln.(*net.UnixListener); unix {
		ln.mu.Lock()
		file := ln.file
		ln.mu.Unlock()
		return file.set(o)
	}
	return setSocket(ln.ln, func(fd uintptr) error { return setReusePort(fd, o.ReusePort) })
}

func (s *portableSys) Accept(l FD) (FD, error) {
	ln, err := s.listening(l)
	if err != nil {
		return 0, err
	}
	conn, err := ln.accept()
	if err != nil {
		return 0, err
	}
	return s.add(&portableStream{sys: s, conn: conn}), s.leaveKept(conn)
}

// leaveKept is EMFILE where a socket's descriptor is one that is kept back.
func (s *portableSys) leaveKept(of any) error {
	err := setSocket(of, func(n uintptr) error {
		if s.kept.has(int(n)) {
			return syscall.EMFILE
		}
		return nil
	})
	if !errors.Is(err, syscall.EMFILE) { // else one that has ended already, as its reader finds
		err = nil
	}
	return err
}

func (s *portableSys) File(fd FD) (*os.File, error) {
	sock, err := s.socket(fd)
	if err != nil {
		return nil, err
	}
	from, ok := sock.netSocket().(syscall.Conn)
	if !ok {
		return nil, syscall.ENOTCONN
	}
	return socketFileOf(from)
}

func (s *portableSys) Open(f *os.File, listening bool) (FD, error) {
	fd, err := openSocket(f, streamSocket(listening))
	if err != nil {
		return 0, err
	}
	own := os.NewFile(uintptr(fd), "socket")
	defer own.Close() // package net makes a duplicate again
	if !listening && s.kept.has(fd) {
		return 0, syscall.EMFILE
	}
	if listening {
		ln, err := net.FileListener(own)
		if err != nil {
			return 0, err
		}
		return s.add(&portableListener{ln: ln}), nil
	}
	conn, err := net.FileConn(own)
	if err != nil {
		return 0, err
	}
	return s.add(&portableStream{sys: s, conn: conn}), nil
}

func (s *portableSys) RemoveAtClose(fd FD, on bool) {
	if d, err := s.datagrams(fd); err == nil {
		d.removeAtClose(on)
		return
	}
	ln, err := s.listening(fd)
	if err != nil {
		return
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.file = (socketFile{}); on {
		ln.file = fileAt(ln.ln.Addr())
	}
}

// AcceptAndClose takes the connection that the accepting goroutine holds, or
// looks for one itself with the spare descriptor given up.
func (s *portableSys) AcceptAndClose(l FD) error {
	ln, err := s.listening(l)
	if err != nil {
		return err
	}
	s.spareMu.Lock()
	defer s.spareMu.Unlock()
	if s.spare != nil {
		s.spare.Close() // only read from /dev/null
		s.spare = nil
	}
	defer s.openSpare()
	conn, err := ln.acceptNow(shedWait)
	if err != nil {
		return err
	}
	return portableErrno(conn.Close())
}

// openSpare is called with spareMu held, or before s is shared. Without a spare
// descriptor AcceptAndClose does what it can.
func (s *portableSys) openSpare() {
	f, err := os.Open(os.DevNull)
	if err == nil {
		s.spare = f
	}
}

// Connect dials on a goroutine, which Close or Reset ends.
func (s *portableSys) Connect(network, address string) (FD, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &portableStream{sys: s, dialing: true, cancel: cancel}
	fd := s.add(c)
	go func() {
		defer cancel()
		d := net.Dialer{KeepAlive: -1}
		conn, err := d.DialContext(ctx, network, address)
		c.takeDialed(conn, err)
	}()
	return fd, nil
}

func (s *portableSys) ConnectResult(fd FD) error {
	c, err := s.stream(fd)
	if err != nil {
		return err
	}
	return c.connectResult()
}

func (s *portableSys) Read(fd FD, p []byte) (int, error) {
	c, err := s.stream(fd)
	if err != nil {
		return 0, err
	}
	return c.read(p)
}

func (s *portableSys) Write(fd FD, p []byte) (int, error) {
	c, err := s.stream(fd)
	if err != nil {
		return 0, err
	}
	return c.write(p)
}

func (s *portableSys) Writev(fd FD, pieces [][]byte) (int, error) {
	c, err := s.stream(fd)
	if err != nil {
		return 0, err
	}
	return c.write(pieces...)
}

func (s *portableSys) Unsent(fd FD) int {
	c, err := s.stream(fd)
	if err != nil {
		return 0
	}
	return c.unsent()
}

func (s *portableSys) ShutdownWrite(fd FD) error {
	c, err := s.stream(fd)
	if err != nil {
		return err
	}
	return c.shutdownWrite()
}

func (s *portableSys) SocketError(fd FD) error {
	sock, err := s.socket(fd)
	if err != nil {
		return err
	}
	if c, ok := sock.(interface{ takeError() error }); ok {
		return c.takeError()
	}
	return syscall.ENOTCONN
}

func (s *portableSys) Close(fd FD) error { return s.closeSocket(fd, false) }
func (s *portableSys) Reset(fd FD) error { return s.closeSocket(fd, true) }

func (s *portableSys) closeSocket(fd FD, reset bool) error {
	s.mu.Lock()
	sock, ok := s.sockets[fd]
	delete(s.sockets, fd)
	s.mu.Unlock()
	if !ok {
		return syscall.EBADF
	}
	return portableErrno(sock.close(reset))
}

func (s *portableSys) LocalAddr(fd FD) net.Addr {
	sock, err := s.socket(fd)
	if err != nil {
		return nil
	}
	return sock.addr()
}

func (s *portableSys) RemoteAddr(fd FD) net.Addr {
	if d, err := s.datagrams(fd); err == nil {
		return d.remote
	}
	c, err := s.stream(fd)
	if err != nil {
		return nil
	}
	if conn := c.netConn(); conn != nil {
		return conn.RemoteAddr()
	}
	return nil
}

func (s *portableSys) SetNoDelay(fd FD, on bool) error {
	return s.setTCP(fd, func(c *net.TCPConn) error { return c.SetNoDelay(on) })
}

func (s *portableSys) SetKeepAlive(fd FD, on bool) error {
	return s.setTCP(fd, func(c *net.TCPConn) error { return c.SetKeepAlive(on) })
}

func (s *portableSys) setTCP(fd FD, set func(*net.TCPConn) error) error {
	c, err := s.stream(fd)
	if err != nil {
		return err
	}
	tcp, ok := c.netConn().(*net.TCPConn)
	if !ok {
		return syscall.EOPNOTSUPP
	}
	return portableErrno(set(tcp))
}

// stillSending notes that c was closed and has bytes to send; sent that it is
// done.
func (s *portableSys) stillSending(c *portableStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing[c] = struct{}{}
}

func (s *portableSys) sent(c *portableStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.closing, c)
	if len(s.closing) == 0 && s.drained != nil {
		close(s.drained)
		s.drained = nil
	}
}

// finish waits, until ctx is done, for what closed sockets have taken to be with
// the system, and gives the rest up. A process that ends without it loses what
// the system's own sockets would still send. It gives the spare descriptor back
// as well. Nothing may be called after it.
func (s *portableSys) finish(ctx context.Context) {
	s.spareMu.Lock()
	if s.spare != nil {
		s.spare.Close()
		s.spare = nil
	}
	s.spareMu.Unlock()
	s.mu.Lock()
	drained := make(chan struct{})
	if len(s.closing) == 0 {
		close(drained)
	} else {
		s.drained = drained
	}
	s.mu.Unlock()
	select {
	case <-drained:
		return
	case <-ctx.Done():
	}
	s.mu.Lock()
	late := slices.Collect(maps.Keys(s.closing))
	s.mu.Unlock()
	for _, c := range late {
		c.giveUp()
	}
	<-drained
}

// portableErrno is the syscall.Errno of an error of package net; nil stays nil.
func portableErrno(err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return systemErrno(errno)
	case errors.Is(err, net.ErrClosed):
		return syscall.EBADF
	case errors.As(err, &timeout) && timeout.Timeout():
		return syscall.ETIMEDOUT
	}
	return syscall.EIO
}
