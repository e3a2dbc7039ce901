package reactortest

import (
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

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
