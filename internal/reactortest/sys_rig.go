package reactortest

import (
	"bytes"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// patience bounds every wait of a suite, so that one that hangs ends. It is no limit for
// what only is slow, as beside others under the race detector.
const patience = time.Minute

// sysRig is a Sys with one poller, and the sockets that a test has opened.
type sysRig struct {
	t       *testing.T
	sys     reactor.Sys
	poller  reactor.Poller
	network string
	address string
	open    map[reactor.FD]bool // and whether the poller knows it
	seen    map[reactor.FD]reactor.Events
}

func newSysRig(t *testing.T, b SysBackend, network string) *sysRig {
	t.Helper()
	r := &sysRig{t: t, sys: b.New(t), network: network, address: "127.0.0.1:0", open: map[reactor.FD]bool{},
		seen: map[reactor.FD]reactor.Events{}}
	if network == "unix" {
		r.address = "/sim/socket"
		if b.Files {
			r.address = shortPath(t)
		}
	}
	var err error
	r.poller, err = r.sys.NewPoller()
	r.must(err)
	t.Cleanup(func() {
		for fd := range r.open {
			r.close(fd)
		}
		r.must(r.poller.Close())
	})
	return r
}

func (r *sysRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *sysRig) add(fd reactor.FD, want reactor.Events) {
	r.t.Helper()
	r.must(r.poller.Add(fd, uint64(fd)<<32|7, want))
	r.open[fd] = true
}

func (r *sysRig) modify(fd reactor.FD, want reactor.Events) {
	r.t.Helper()
	r.must(r.poller.Modify(fd, uint64(fd)<<32|7, want))
}

func (r *sysRig) remove(fd reactor.FD) {
	r.t.Helper()
	if r.open[fd] {
		r.must(r.poller.Remove(fd))
		r.open[fd] = false
	}
}

func (r *sysRig) close(fd reactor.FD) {
	r.t.Helper()
	r.remove(fd)
	delete(r.open, fd)
	r.must(r.sys.Close(fd))
}

func (r *sysRig) reset(fd reactor.FD) {
	r.t.Helper()
	r.remove(fd)
	delete(r.open, fd)
	r.must(r.sys.Reset(fd))
}

// poll waits once and notes what is reported.
func (r *sysRig) poll(d time.Duration) {
	r.t.Helper()
	var ready [16]reactor.Ready
	n, err := r.poller.Wait(ready[:], d)
	r.must(err)
	clear(r.seen)
	for _, e := range ready[:n] {
		fd := reactor.FD(e.Token >> 32)
		if !r.open[fd] || uint32(e.Token) != 7 {
			r.t.Fatalf("found an event %v for token %#x, which is not registered", e.Events, e.Token)
		}
		r.seen[fd] = e.Events
	}
}

// await waits until all of want is reported for fd.
func (r *sysRig) await(fd reactor.FD, want reactor.Events) reactor.Events {
	r.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		r.poll(100 * time.Millisecond)
		if ev := r.seen[fd]; ev&want == want {
			return ev
		}
	}
	r.t.Fatalf("waited for events %05b of FD %d, found %05b", want, fd, r.seen[fd])
	return 0
}

func (r *sysRig) listen() reactor.FD {
	r.t.Helper()
	l, err := r.sys.Listen(r.network, r.address, reactor.SocketOptions{})
	r.must(err)
	r.open[l] = false
	if r.network == "tcp" {
		r.address = r.sys.LocalAddr(l).String()
	}
	r.add(l, reactor.ReadEvent)
	return l
}

func (r *sysRig) connect() reactor.FD {
	r.t.Helper()
	c, err := r.sys.Connect(r.network, r.address)
	r.must(err)
	r.add(c, reactor.WriteEvent)
	return c
}

func (r *sysRig) accept(l reactor.FD) reactor.FD {
	r.t.Helper()
	for range 100 {
		r.await(l, reactor.ReadEvent)
		fd, err := r.sys.Accept(l)
		if err == syscall.EAGAIN || err == syscall.EINTR || err == syscall.ECONNABORTED {
			continue
		}
		r.must(err)
		r.add(fd, 0)
		return fd
	}
	r.t.Fatal("accept: found EAGAIN 100 times after ReadEvent")
	return 0
}

// pair makes a connection. Nothing is wanted of either end.
func (r *sysRig) pair() (client, server reactor.FD) {
	r.t.Helper()
	l := r.listen()
	client = r.connect()
	r.await(client, reactor.WriteEvent)
	r.must(r.sys.ConnectResult(client))
	server = r.accept(l)
	r.modify(client, 0)
	return client, server
}

// writeAll writes p, waiting for room.
func (r *sysRig) writeAll(fd reactor.FD, p []byte) {
	r.t.Helper()
	for len(p) > 0 {
		n, err := r.sys.Write(fd, p)
		p = p[n:]
		if err == syscall.EAGAIN || err == nil && len(p) > 0 {
			r.modify(fd, reactor.WriteEvent)
			r.await(fd, reactor.WriteEvent)
			continue
		}
		r.must(err)
	}
	r.modify(fd, 0)
}

// readTo reads until n bytes, the end or an error have come.
func (r *sysRig) readTo(fd reactor.FD, n int) ([]byte, error) {
	r.t.Helper()
	r.modify(fd, reactor.ReadEvent)
	defer r.modify(fd, 0)
	var got []byte
	buf := make([]byte, 32<<10)
	for len(got) < n {
		k, err := r.sys.Read(fd, buf[:min(len(buf), n-len(got))])
		got = append(got, buf[:k]...)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			r.await(fd, reactor.ReadEvent)
		case err != nil:
			return got, err
		case k == 0:
			return got, nil
		}
	}
	return got, nil
}

func (r *sysRig) wantBytes(fd reactor.FD, want []byte) {
	r.t.Helper()
	got, err := r.readTo(fd, len(want))
	r.must(err)
	if !bytes.Equal(got, want) {
		r.t.Fatalf("read %d bytes, wanted %d, and first difference at %d", len(got), len(want),
			firstDifference(got, want))
	}
}

func (r *sysRig) wantEOF(fd reactor.FD) {
	r.t.Helper()
	got, err := r.readTo(fd, 1)
	if err != nil || len(got) > 0 {
		r.t.Fatalf("read %q, %v, wanted the end of file", got, err)
	}
}

// wantLoss wants an error, or on Unix sockets, which know no reset, the end.
func (r *sysRig) wantLoss(fd reactor.FD) {
	r.t.Helper()
	got, err := r.readTo(fd, 1)
	if len(got) > 0 || err != syscall.ECONNRESET && !(r.network == "unix" && err == nil) {
		r.t.Fatalf("read %q, %v, wanted ECONNRESET", got, err)
	}
}

// fill writes until the socket takes no more, and returns what it has taken.
func (r *sysRig) fill(fd reactor.FD) []byte {
	r.t.Helper()
	var sent []byte
	for quiet := 0; quiet < 3; {
		p := script.Pattern(len(sent), 64<<10)
		n, err := r.sys.Write(fd, p)
		sent = append(sent, p[:n]...)
		if len(sent) > 64<<20 {
			r.t.Fatal("the socket took 64 MiB that nobody reads")
		}
		if n > 0 {
			quiet = 0
			continue
		}
		if err != syscall.EAGAIN {
			r.t.Fatalf("write: found %v, wanted EAGAIN", err)
		}
		quiet++
		r.modify(fd, reactor.WriteEvent)
		r.poll(50 * time.Millisecond)
		r.modify(fd, 0)
	}
	return sent
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
