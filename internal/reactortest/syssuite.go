package reactortest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// SysBackend is a Sys for SysSuite.
type SysBackend struct {
	New      func(*testing.T) reactor.Sys
	Networks []string // tcp, unix
	Files    bool     // Unix sockets are files
}

// SysSuite checks what the loops rely on in a Sys: readiness that is
// level-triggered, the order of bytes, ends and errors, and that nothing is
// reported for a socket after its removal. Both ends of each connection are
// sockets of the same Sys.
func SysSuite(t *testing.T, b SysBackend) {
	tests := []struct {
		name string
		run  func(*sysRig)
	}{
		{"bytes arrive and read ends with EAGAIN", testSysBytes},
		{"much goes through in order", testSysBulk},
		{"a peer that is not read is held back", testSysBackPressure},
		{"readiness is level-triggered", testSysLevel},
		{"events that are not wanted are not reported", testSysUnwanted},
		{"end of file stays behind unread bytes", testSysFin},
		{"the other side goes on after a FIN", testSysHalfClose},
		{"both sides shut is a hang-up", testSysHangup},
		{"shutdown waits for the bytes before it", testSysShutdownBehindBytes},
		{"what a closed socket has taken arrives", testSysCloseSends},
		{"a reset reaches the reader", testSysReset},
		{"a reset is reported though nothing is wanted", testSysResetUnasked},
		{"write to a reset peer fails", testSysWriteAfterReset},
		{"write after shutdown is EPIPE", testSysWriteAfterShutdown},
		{"writev takes pieces in order", testSysWritev},
		{"connect refused", testSysRefused},
		{"accept takes all that wait", testSysAcceptMany},
		{"AcceptAndClose", testSysAcceptAndClose},
		{"nothing is reported after Remove", testSysRemove},
		{"a token that is used again gets no stale event", testSysTokenAgain},
		{"closed descriptors are EBADF", testSysBadFD},
		{"Wait times out", testSysTimeout},
		{"Wake ends a Wait", testSysWake},
		{"addresses", testSysAddresses},
		{"socket options", testSysOptions},
		{"an address in use is an error", testSysInUse},
	}
	for _, network := range b.Networks {
		t.Run(network, func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(newSysRig(t, b, network)) })
			}
			if network == "unix" && b.Files {
				t.Run("a stale socket file is replaced", func(t *testing.T) { testSysStaleFile(newSysRig(t, b, network)) })
			}
		})
	}
}

// patience bounds every wait of a suite on real sockets.
const patience = 10 * time.Second

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
	r := &sysRig{t: t, sys: b.New(t), network: network, address: "127.0.0.1:0", open: map[reactor.FD]bool{}, seen: map[reactor.FD]reactor.Events{}}
	if network == "unix" {
		r.address = "/sim/socket"
		if b.Files {
			dir, err := os.MkdirTemp("", "sys") // a test's own folder can be too long a path for a socket
			r.must(err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			r.address = filepath.Join(dir, "s")
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
	l, err := r.sys.Listen(r.network, r.address)
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
		r.t.Fatalf("read %d bytes, wanted %d, and first difference at %d", len(got), len(want), firstDifference(got, want))
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
		p := Pattern(len(sent), 64<<10)
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

// Pattern is the n bytes at offset of an endless stream in which every four
// bytes differ from their neighbours, so that a shift or a loss shows.
func Pattern(offset, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		at := offset + i
		p[i] = byte(at>>2*0x9d>>(at&3*2) + at)
	}
	return p
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func testSysBytes(r *sysRig) {
	c, s := r.pair()
	if _, err := r.sys.Read(s, make([]byte, 10)); err != syscall.EAGAIN {
		r.t.Fatalf("read of nothing: found %v, wanted EAGAIN", err)
	}
	r.writeAll(c, []byte("hello"))
	r.wantBytes(s, []byte("hello"))
	r.writeAll(s, []byte("world"))
	r.wantBytes(c, []byte("world"))
}

func testSysBulk(r *sysRig) {
	c, s := r.pair()
	const total = 3<<20 + 17
	want := Pattern(0, total)
	var got []byte
	buf := make([]byte, 64<<10)
	r.modify(c, reactor.WriteEvent)
	r.modify(s, reactor.ReadEvent)
	for sent := 0; len(got) < total; {
		r.poll(patience)
		if len(r.seen) == 0 {
			r.t.Fatalf("stuck after %d bytes sent, %d read", sent, len(got))
		}
		if r.seen[c]&reactor.WriteEvent != 0 && sent < total {
			n, err := r.sys.Write(c, want[sent:min(total, sent+100_000)])
			if err != syscall.EAGAIN {
				r.must(err)
			}
			if sent += n; sent == total {
				r.modify(c, 0)
			}
		}
		if r.seen[s]&reactor.ReadEvent != 0 {
			n, err := r.sys.Read(s, buf[:1+len(got)%len(buf)])
			if err != syscall.EAGAIN {
				r.must(err)
			}
			got = append(got, buf[:n]...)
		}
	}
	if !bytes.Equal(got, want) {
		r.t.Fatalf("first difference at %d", firstDifference(got, want))
	}
}

func testSysBackPressure(r *sysRig) {
	c, s := r.pair()
	sent := r.fill(c)
	r.modify(c, reactor.WriteEvent)
	r.poll(0)
	if r.seen[c]&reactor.WriteEvent != 0 {
		r.t.Fatal("found WriteEvent on a socket that takes nothing")
	}
	full := r.sys.Unsent(c)
	r.wantBytes(s, sent)
	r.modify(c, reactor.WriteEvent)
	r.await(c, reactor.WriteEvent)
	if left := r.sys.Unsent(c); full == 0 || left >= full {
		r.t.Errorf("found %d unsent when nothing was read, then %d", full, left)
	}
}

func testSysLevel(r *sysRig) {
	c, s := r.pair()
	r.writeAll(c, []byte("abc"))
	r.modify(s, reactor.ReadEvent)
	for i := range 3 {
		r.await(s, reactor.ReadEvent)
		r.poll(0)
		if r.seen[s]&reactor.ReadEvent == 0 {
			r.t.Fatalf("not reported again with %d bytes unread", 3-i)
		}
		if n, err := r.sys.Read(s, make([]byte, 1)); n != 1 || err != nil {
			r.t.Fatalf("read %d, %v", n, err)
		}
	}
	r.poll(0)
	if len(r.seen) != 0 {
		r.t.Fatalf("found events %v with nothing unread", r.seen)
	}
}

func testSysUnwanted(r *sysRig) {
	c, s := r.pair()
	r.modify(s, reactor.ReadEvent)
	r.writeAll(c, []byte("abc"))
	r.await(s, reactor.ReadEvent)
	r.modify(s, 0)
	r.poll(20 * time.Millisecond)
	if len(r.seen) != 0 {
		r.t.Fatalf("found events %v, wanted none", r.seen)
	}
	r.modify(s, reactor.ReadEvent)
	r.await(s, reactor.ReadEvent)
}

func testSysFin(r *sysRig) {
	c, s := r.pair()
	r.writeAll(c, []byte("last words"))
	r.must(r.sys.ShutdownWrite(c))
	r.modify(s, reactor.FinEvent)
	if ev := r.await(s, reactor.FinEvent); ev&reactor.ReadEvent != 0 {
		r.t.Errorf("found ReadEvent, which was not wanted")
	}
	r.wantBytes(s, []byte("last words"))
	r.wantEOF(s)
	r.wantEOF(s)
}

func testSysHalfClose(r *sysRig) {
	c, s := r.pair()
	r.must(r.sys.ShutdownWrite(c))
	r.wantEOF(s)
	want := Pattern(0, 1<<20)
	var got []byte
	for sent := 0; len(got) < len(want); {
		n, err := r.sys.Write(s, want[sent:])
		if err != syscall.EAGAIN {
			r.must(err)
		}
		sent += n
		p, err := r.readTo(c, min(sent-len(got), 64<<10))
		r.must(err)
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		r.t.Fatalf("first difference at %d", firstDifference(got, want))
	}
}

func testSysHangup(r *sysRig) {
	c, s := r.pair()
	r.must(r.sys.ShutdownWrite(c))
	r.modify(c, reactor.ReadEvent)
	r.modify(s, reactor.ReadEvent)
	r.await(s, reactor.ReadEvent)
	if ev := r.seen[c] | r.seen[s]; ev&reactor.HangupEvent != 0 {
		r.t.Errorf("found a hang-up when one side is shut")
	}
	r.must(r.sys.ShutdownWrite(s))
	r.await(c, reactor.HangupEvent)
	r.await(s, reactor.HangupEvent)
	r.wantEOF(c)
}

func testSysShutdownBehindBytes(r *sysRig) {
	c, s := r.pair()
	sent := r.fill(c)
	r.must(r.sys.ShutdownWrite(c))
	r.wantBytes(s, sent)
	r.wantEOF(s)
}

func testSysCloseSends(r *sysRig) {
	c, s := r.pair()
	sent := r.fill(c)
	r.close(c)
	r.wantBytes(s, sent)
	r.wantEOF(s)
}

func testSysReset(r *sysRig) {
	c, s := r.pair()
	r.reset(c)
	r.wantLoss(s)
}

func testSysResetUnasked(r *sysRig) {
	if r.network == "unix" {
		r.t.Skip("Unix sockets know no reset")
	}
	c, s := r.pair()
	r.reset(c)
	r.await(s, reactor.ErrorEvent)
	if err := r.sys.SocketError(s); err != syscall.ECONNRESET {
		r.t.Errorf("found %v, wanted ECONNRESET", err)
	}
	if err := r.sys.SocketError(s); err != nil {
		r.t.Errorf("found %v the second time, wanted it taken", err)
	}
}

func testSysWriteAfterReset(r *sysRig) {
	c, s := r.pair()
	r.modify(s, reactor.FinEvent)
	r.reset(c)
	r.await(s, reactor.FinEvent)
	for until := time.Now().Add(patience); time.Now().Before(until); {
		_, err := r.sys.Write(s, []byte("x"))
		switch err {
		case nil, syscall.EAGAIN:
			r.poll(time.Millisecond)
			continue
		case syscall.EPIPE, syscall.ECONNRESET:
		default:
			r.t.Errorf("found %v, wanted EPIPE or ECONNRESET", err)
		}
		return
	}
	r.t.Error("writes to a reset peer go well")
}

func testSysWriteAfterShutdown(r *sysRig) {
	c, _ := r.pair()
	r.must(r.sys.ShutdownWrite(c))
	if _, err := r.sys.Write(c, []byte("x")); err != syscall.EPIPE {
		r.t.Errorf("found %v, wanted EPIPE", err)
	}
}

func testSysWritev(r *sysRig) {
	c, s := r.pair()
	n, err := r.sys.Writev(c, [][]byte{[]byte("one"), nil, []byte("two"), []byte("three")})
	r.must(err)
	if n != 11 {
		r.t.Errorf("found %d bytes taken, wanted 11", n)
	}
	r.wantBytes(s, []byte("onetwothree"))
}

func testSysRefused(r *sysRig) {
	l := r.listen()
	r.close(l)
	c, err := r.sys.Connect(r.network, r.address)
	if err == nil {
		r.add(c, reactor.WriteEvent)
		r.await(c, reactor.WriteEvent)
		err = r.sys.ConnectResult(c)
	}
	if err != syscall.ECONNREFUSED && !(r.network == "unix" && err == syscall.ENOENT) {
		r.t.Errorf("found %v, wanted ECONNREFUSED", err)
	}
}

func testSysAcceptMany(r *sysRig) {
	l := r.listen()
	if _, err := r.sys.Accept(l); err != syscall.EAGAIN {
		r.t.Fatalf("found %v, wanted EAGAIN", err)
	}
	const count = 20
	for range count {
		r.connect()
	}
	seen := map[reactor.FD]bool{}
	for range count {
		fd := r.accept(l)
		if seen[fd] {
			r.t.Fatalf("FD %d was accepted twice", fd)
		}
		seen[fd] = true
	}
	if _, err := r.sys.Accept(l); err != syscall.EAGAIN {
		r.t.Fatalf("found %v, wanted EAGAIN", err)
	}
}

func testSysAcceptAndClose(r *sysRig) {
	l := r.listen()
	if err := r.sys.AcceptAndClose(l); err != syscall.EAGAIN {
		r.t.Fatalf("found %v, wanted EAGAIN", err)
	}
	c := r.connect()
	r.await(c, reactor.WriteEvent)
	r.await(l, reactor.ReadEvent)
	r.must(r.sys.AcceptAndClose(l))
	r.wantEOF(c)
	if err := r.sys.AcceptAndClose(l); err != syscall.EAGAIN {
		r.t.Fatalf("found %v, wanted EAGAIN", err)
	}
}

func testSysRemove(r *sysRig) {
	c, s := r.pair()
	r.modify(s, reactor.ReadEvent)
	r.writeAll(c, []byte("abc"))
	r.await(s, reactor.ReadEvent)
	r.remove(s)
	r.poll(20 * time.Millisecond) // fails on an event of s
	if err := r.poller.Remove(s); err == nil {
		r.t.Error("a second Remove went well")
	}
	r.add(s, reactor.ReadEvent)
	r.await(s, reactor.ReadEvent)
	if err := r.poller.Add(s, 1, 0); err == nil {
		r.t.Error("a second Add went well")
	}
	r.wantBytes(s, []byte("abc"))
}

func testSysTokenAgain(r *sysRig) {
	l := r.listen()
	const token = 99<<32 | 7
	var last reactor.FD
	for i := range 20 {
		c := r.connect()
		r.await(c, reactor.WriteEvent)
		s := r.accept(l)
		r.remove(s)
		r.remove(c)
		r.must(r.poller.Add(s, token, reactor.ReadEvent))
		r.open[99] = true // what token says
		if i%2 == 0 {
			n, err := r.sys.Write(c, []byte("x"))
			if n != 1 {
				r.t.Fatal(err)
			}
			r.await(99, reactor.ReadEvent)
		} else {
			r.poll(0)
			if ev, ok := r.seen[99]; ok {
				r.t.Fatalf("found %v on a fresh socket", ev)
			}
		}
		r.must(r.poller.Remove(s))
		delete(r.open, 99)
		r.close(s)
		r.close(c)
		last = s
	}
	r.poll(0)
	if err := r.poller.Modify(last, token, reactor.ReadEvent); err == nil {
		r.t.Error("Modify of a closed socket went well")
	}
}

func testSysBadFD(r *sysRig) {
	c, _ := r.pair()
	r.close(c)
	_, readErr := r.sys.Read(c, make([]byte, 1))
	_, writeErr := r.sys.Write(c, make([]byte, 1))
	for name, err := range map[string]error{
		"read": readErr, "write": writeErr, "close": r.sys.Close(c), "shutdown": r.sys.ShutdownWrite(c),
		"add": r.poller.Add(c, 1, reactor.ReadEvent),
	} {
		if err != syscall.EBADF {
			r.t.Errorf("%s: found %v, wanted EBADF", name, err)
		}
	}
	if a := r.sys.RemoteAddr(c); a != nil {
		r.t.Errorf("found address %v, wanted none", a)
	}
}

func testSysTimeout(r *sysRig) {
	start := r.sys.Now()
	r.poll(15 * time.Millisecond)
	if d := r.sys.Now() - start; d < 15*time.Millisecond {
		r.t.Errorf("waited %v, wanted 15ms", d)
	}
	r.poll(0)
	if len(r.seen) > 0 {
		r.t.Errorf("found %v", r.seen)
	}
}

func testSysWake(r *sysRig) {
	r.must(r.poller.Wake())
	r.must(r.poller.Wake())
	r.poll(-1) // the Wake came before
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.poller.Wake(); err != nil {
			r.t.Error(err)
		}
	}()
	r.poll(patience)
	<-done
	if len(r.seen) > 0 {
		r.t.Errorf("found %v", r.seen)
	}
}

func testSysAddresses(r *sysRig) {
	c, s := r.pair()
	if r.network == "unix" {
		if a := r.sys.LocalAddr(s); a == nil || a.String() != r.address {
			r.t.Errorf("found %v, wanted %s", a, r.address)
		}
		return
	}
	for name, pair := range map[string][2]net.Addr{
		"client to server": {r.sys.LocalAddr(c), r.sys.RemoteAddr(s)},
		"server to client": {r.sys.LocalAddr(s), r.sys.RemoteAddr(c)},
	} {
		a, ok := pair[0].(*net.TCPAddr)
		b, ok2 := pair[1].(*net.TCPAddr)
		if !ok || !ok2 || a.String() != b.String() || a.Port == 0 {
			r.t.Errorf("%s: found %v and %v", name, pair[0], pair[1])
		}
	}
}

func testSysOptions(r *sysRig) {
	c, s := r.pair()
	for _, on := range []bool{true, false} {
		for i, err := range []error{r.sys.SetNoDelay(c, on), r.sys.SetNoDelay(s, on), r.sys.SetKeepAlive(c, on)} {
			if r.network == "tcp" && err != nil || r.network == "unix" && i < 2 && err == nil {
				r.t.Errorf("option %d: found %v", i, err)
			}
		}
	}
}

func testSysInUse(r *sysRig) {
	r.listen()
	fd, err := r.sys.Listen(r.network, r.address)
	if err == nil {
		r.sys.Close(fd)
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		r.t.Errorf("found %v, wanted EADDRINUSE", err)
	}
}

func testSysStaleFile(r *sysRig) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.address, Net: "unix"})
	r.must(err)
	ln.SetUnlinkOnClose(false)
	r.must(ln.Close())
	if _, err := os.Stat(r.address); err != nil {
		r.t.Fatal("no stale file to try with:", err)
	}
	l := r.listen()
	c := r.connect()
	r.await(c, reactor.WriteEvent)
	r.close(l)
	if _, err := os.Stat(r.address); !errors.Is(err, os.ErrNotExist) {
		r.t.Errorf("the socket's file is there after Close: %v", err)
	}
}
