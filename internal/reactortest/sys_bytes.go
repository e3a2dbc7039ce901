package reactortest

import (
	"bytes"
	"syscall"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

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
	want := script.Pattern(0, total)
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

func testSysWritev(r *sysRig) {
	c, s := r.pair()
	n, err := r.sys.Writev(c, [][]byte{[]byte("one"), nil, []byte("two"), []byte("three")})
	r.must(err)
	if n != 11 {
		r.t.Errorf("found %d bytes taken, wanted 11", n)
	}
	r.wantBytes(s, []byte("onetwothree"))
}
