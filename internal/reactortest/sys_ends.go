package reactortest

import (
	"bytes"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

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
	want := script.Pattern(0, 1<<20)
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
