package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// portablePair is a stream of s and the peer's end.
func portablePair(t *testing.T, s *portableSys) (FD, *net.TCPConn) {
	t.Helper()
	l, err := s.Listen("tcp", "127.0.0.1:0", SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(l)
	peer, err := net.Dial("tcp", s.LocalAddr(l).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	p, err := s.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(l, 1, ReadEvent); err != nil {
		t.Fatal(err)
	}
	defer p.Remove(l)
	var ready [1]Ready
	if n, err := p.Wait(ready[:], 10*time.Second); n != 1 || err != nil {
		t.Fatalf("waited for the connection: %d events, %v", n, err)
	}
	fd, err := s.Accept(l)
	if err != nil {
		t.Fatal(err)
	}
	return fd, peer.(*net.TCPConn)
}

// stuck writes to fd until it and the system take no more.
func stuck(t *testing.T, s *portableSys, fd FD) {
	t.Helper()
	p := make([]byte, 64<<10)
	c, err := s.stream(fd)
	if err != nil {
		t.Fatal(err)
	}
	full := 0
	for full < 5 {
		n, err := s.Write(fd, p)
		if err != nil && err != syscall.EAGAIN {
			t.Fatal(err)
		}
		if n > 0 {
			full = 0
			continue
		}
		full++
		deadline := time.Now().Add(20 * time.Millisecond)
		for c.events()&WriteEvent == 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond) // the kernel has no event for "takes no more"
		}
	}
}

func TestPortableLingerIsBounded(t *testing.T) {
	s := newPortableSys().(*portableSys)
	s.linger = 30 * time.Millisecond
	fd, peer := portablePair(t, s)
	if err := peer.SetReadBuffer(4 << 10); err != nil { // one that can grow has room in time
		t.Fatal(err)
	}
	stuck(t, s, fd)
	if err := s.Close(fd); err != nil {
		t.Fatal(err)
	}
	s.finish(context.Background()) // returns when the writer has given up
	if _, err := io.Copy(io.Discard, peer); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer found %v, wanted a reset since bytes were dropped", err)
	}
}

func TestPortableEndGivesUp(t *testing.T) {
	s := newPortableSys().(*portableSys)
	fd, _ := portablePair(t, s)
	stuck(t, s, fd)
	if err := s.Close(fd); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.finish(ctx)
	if len(s.closing) != 0 {
		t.Errorf("%d sockets still send", len(s.closing))
	}
}

func TestPortableEndSends(t *testing.T) {
	s := newPortableSys().(*portableSys)
	fd, peer := portablePair(t, s)
	stuck(t, s, fd)
	if err := s.Close(fd); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, peer)
		done <- err
	}()
	s.finish(context.Background())
	if err := <-done; err != nil {
		t.Errorf("the peer found %v, wanted every byte and the end", err)
	}
}

// TestPortableReadAheadIsBounded sends tiny pieces, each in a segment of its
// own, to a connection that is not read.
func TestPortableReadAheadIsBounded(t *testing.T) {
	s := newPortableSys().(*portableSys)
	fd, peer := portablePair(t, s)
	defer s.Close(fd)
	c, err := s.stream(fd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(fd, make([]byte, 1)); err != syscall.EAGAIN { // starts the reader
		t.Fatal(err)
	}
	for range 2000 {
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := 0
	for buf := make([]byte, 7); ; {
		c.mu.Lock()
		ahead := c.ahead
		c.mu.Unlock()
		if ahead > portableAhead+portableLarge {
			t.Fatalf("%d bytes of buffers hold what is not read", ahead)
		}
		n, err := s.Read(fd, buf)
		if err == syscall.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got += n
	}
	if got != 2000 {
		t.Errorf("got %d bytes of 2000", got)
	}
}

// TestPortableErrorBehindBytes: what the reader may still bring comes before a
// failure that the writer has met.
func TestPortableErrorBehindBytes(t *testing.T) {
	s := newPortableSys().(*portableSys)
	c := &portableStream{sys: s, err: syscall.EPIPE, dead: true, reading: true}
	if ev := c.events(); ev&(ReadEvent|ErrorEvent) != 0 {
		t.Errorf("found events %b while the reader runs", ev)
	}
	if n, err := c.read(make([]byte, 1)); n != 0 || err != syscall.EAGAIN {
		t.Errorf("read %d, %v while the reader runs", n, err)
	}
	b := s.bufs.get(false)
	b.b[0] = 'x'
	c.queueRead(b, 1)
	c.noteReadEnd(io.EOF)
	c.reading = false
	if ev := c.events(); ev&ErrorEvent == 0 {
		t.Errorf("found events %b", ev)
	}
	if n, err := c.read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d, %v, wanted the byte first", n, err)
	}
	if n, err := c.read(make([]byte, 2)); n != 0 || err != syscall.EPIPE {
		t.Errorf("read %d, %v, wanted the failure", n, err)
	}
}

// failingListener fails once, and then has one connection.
type failingListener struct {
	net.Listener
	failed bool
	conn   net.Conn
}

func (l *failingListener) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, syscall.ECONNABORTED
	}
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	return nil, net.ErrClosed
}

func TestPortableAcceptAfterFailure(t *testing.T) {
	s := newPortableSys().(*portableSys)
	a, b := net.Pipe()
	defer a.Close()
	fd := s.add(&portableListener{ln: &failingListener{conn: b}})
	p, err := s.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(fd, 1, ReadEvent); err != nil {
		t.Fatal(err)
	}
	var got []error
	for len(got) < 3 {
		var ready [1]Ready
		if n, err := p.Wait(ready[:], 10*time.Second); n != 1 || err != nil {
			t.Fatalf("after %v: %d events, %v", got, n, err)
		}
		conn, err := s.Accept(fd)
		if err == nil {
			s.Close(conn)
		}
		got = append(got, err)
		if err == nil {
			break
		}
	}
	if k := len(got); got[0] != syscall.ECONNABORTED || got[k-1] != nil {
		t.Errorf("found %v, wanted the failure and then the connection", got)
	}
}

func TestPortableCloseWhileDialing(t *testing.T) {
	s := newPortableSys().(*portableSys)
	defer s.finish(context.Background())
	// TEST-NET-1 (RFC 5737): nobody answers, or the system says so at once.
	fd, err := s.Connect("tcp", "192.0.2.1:9")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ConnectResult(fd); err == nil {
		t.Error("found a connection to nowhere")
	}
	if err := s.Close(fd); err != nil {
		t.Error(err)
	}
}

func TestPortableErrno(t *testing.T) {
	for _, test := range []struct {
		err, want error
	}{
		{nil, nil},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, syscall.ECONNRESET},
		{fmt.Errorf("wrapped: %w", syscall.EMFILE), syscall.EMFILE},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, syscall.ETIMEDOUT},
		{context.DeadlineExceeded, syscall.ETIMEDOUT},
		{&net.OpError{Op: "accept", Err: net.ErrClosed}, syscall.EBADF},
		{errors.New("unheard of"), syscall.EIO},
	} {
		if got := portableErrno(test.err); got != test.want {
			t.Errorf("%v: found %v, wanted %v", test.err, got, test.want)
		}
	}
}
