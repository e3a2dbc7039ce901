package reactortest

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

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
	fd, err := r.sys.Listen(r.network, r.address, reactor.SocketOptions{})
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
