package guest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// TestHostCalls: what the table says that the host gives, it gives, and no more.
func TestHostCalls(t *testing.T) {
	calls := hostCalls()
	for _, im := range slices.Concat(abi.Imports(), abi.WASI()) {
		if calls[im.Key()] == nil {
			t.Errorf("%s is in the table and not given", im.Key())
		}
		delete(calls, im.Key())
	}
	for key := range calls {
		t.Errorf("%s is given and not in the table", key)
	}
}

// TestExports: what the host calls is in the table, and the reverse.
func TestExports(t *testing.T) {
	called := map[string]bool{abi.ExportMemory: true, abi.ExportVersion: true}
	for _, name := range exportNames[:exStart] {
		called[name] = true
	}
	for _, e := range abi.Exports() {
		if !called[e.Name] {
			t.Errorf("%s is in the table and never called", e.Name)
		}
		delete(called, e.Name)
	}
	for name := range called {
		t.Errorf("%s is called and not in the table", name)
	}
}

// TestNumbers: package abi and package reactor, which do not know each other,
// number reasons and states alike.
func TestNumbers(t *testing.T) {
	for n, reason := range []struct {
		reactor reactor.Reason
		abi     string
	}{
		{reactor.Done, "done"}, {reactor.Lost, "lost"}, {reactor.Aborted, "aborted"}, {reactor.Timeout, "timeout"},
		{reactor.TLSFailure, "TLS failure"}, {reactor.ShuttingDown, "shutting down"}, {reactor.Replaced, "replaced"},
		{reactor.OverLimit, "over limit"}, {reactor.ProtocolFailed, "trapped"}, {reactor.Refused, "refused"},
		{reactor.NoSuchHost, "no such host"}, {reactor.NotAllowed, "not allowed"},
	} {
		c := abi.Reasons()[n]
		if c.Name != reason.abi || int32(reason.reactor) != c.Value {
			t.Errorf("%v is %d, %s is %d, wanted %s", reason.reactor, reason.reactor, c.Name, c.Value, reason.abi)
		}
	}
	for n, state := range []struct {
		reactor reactor.State
		abi     string
	}{
		{reactor.StatePaused, "paused"}, {reactor.StatePeerClosed, "peer closed"},
		{reactor.StateWriteClosed, "write closed"}, {reactor.StateClosing, "closing"},
		{reactor.StateProducer, "producer"}, {reactor.StateTLS, "TLS"}, {reactor.StateOutgoing, "outgoing"},
		{reactor.StateCanStartTLS, "can start TLS"},
	} {
		c := abi.StateBits()[n]
		if c.Name != state.abi || int32(state.reactor) != c.Value {
			t.Errorf("reactor's state bit %d, abi's %s %d, wanted %s", state.reactor, c.Name, c.Value, state.abi)
		}
	}
}

func TestHandles(t *testing.T) {
	h := handles{last: abi.MaxHandle - 2}
	for _, want := range []int32{abi.MaxHandle - 1, abi.MaxHandle, 1, 2} {
		if got := h.take(); got != want {
			t.Fatalf("got %d, wanted %d", got, want)
		}
	}
	h.free(1)
	h.last = abi.MaxHandle - 2
	if got := h.take(); got != 1 {
		t.Fatalf("got %d, wanted 1: %d, %d and 2 are live", got, abi.MaxHandle-1, abi.MaxHandle)
	}
	if h.count() != 4 {
		t.Errorf("%d are live", h.count())
	}
}

// TestHostCallsLook: a host call whose work grows with the guest's numbers looks at
// the clock, in the middle too where it is long; and a small write, which is what
// guests do most, does not.
func TestHostCallsLook(t *testing.T) {
	i := standing(t, "echo", func(s *Settings) { s.Config = []byte(strings.Repeat("x", 2*longRange)) }).instance(t)
	if _, ok := i.mem.Grow(100); !ok {
		t.Fatal("no memory")
	}
	to := &sink{}
	c := &conn{in: i, t: to, handle: 1, stage: stageOpen}
	i.conns.add(c)
	looks := 0
	i.guard = meter.NewGuard(func() time.Duration { looks++; return 0 }, nil)
	i.guard.Arm(time.Minute)
	i.phase = phaseRun
	const iov, long = 1 << 16, 4 << 20
	sequence := func(pieces, size uint32) {
		for n := range pieces {
			i.mem.WriteUint32Le(iov+8*n, 0)
			i.mem.WriteUint32Le(iov+8*n+4, size)
		}
	}
	for _, tc := range []struct {
		call         string
		params       []uint64
		pieces, size uint32 // of what lies at iov
		looks, bytes int    // at least; exactly 0
	}{
		{"transport.write", []uint64{1, 0, longRange}, 0, 0, 0, longRange},
		{"transport.write", []uint64{1, 0, longRange + 1}, 0, 0, 1, longRange + 1},
		{"transport.write", []uint64{1, 0, long}, 0, 0, long / writePart, long},
		{"transport.writeSequence", []uint64{1, iov, 1024}, 1024, 0, 1, 0},
		{"transport.writeSequence", []uint64{1, iov, 1024}, 1024, 3, 1, 3 * 1024},
		{"transport.writeSequence", []uint64{1, iov, 1024}, 1024, 65536, 1024 * 65536 / writePart / 2, 1024 * 65536},
		{"transport.writeSequence", []uint64{1, iov, 8}, 8, long, 8 * long / writePart, 8 * long},
		{"transport.writeSequence", []uint64{1, iov, 3}, 3, writePart, 3, 3 * writePart},
		{"transport.writeSequence", []uint64{1, iov, 3}, 3, writePart + 1, 3, 3 * (writePart + 1)},
		{"factory.config", []uint64{0, 0}, 0, 0, 1, 0},
		{"reactor.connect", []uint64{0, 1024, 0}, 0, 0, 1, 0},
		{"reactor.random", []uint64{0, abi.MaxRandom}, 0, 0, 1, 0},
		{"reactor.time", []uint64{0}, 0, 0, 0, 0},
		{"datagram.send", []uint64{1, iov, longBatch}, 0, 0, 0, 0},
		{"datagram.send", []uint64{1, iov, longBatch + 1}, 0, 0, 1, 0},
		{"datagram.open", []uint64{0, 1024}, 0, 0, 1, 0},
		{"datagram.join", []uint64{1, 0, 1024}, 0, 0, 1, 0},
		{"datagram.setOption", []uint64{1, 1, 1}, 0, 0, 1, 0},
		{"log.emit", []uint64{2, 0, 0}, 0, 0, 1, 0},
		{"metrics.define", []uint64{1, 0, 0}, 0, 0, 1, 0},
		{"metrics.record", []uint64{1, 0}, 0, 0, 0, 0},
		{abi.ModuleWASI + ".fd_write", []uint64{1, iov, 1024, 0}, 1024, 0, 1, 0},
		{abi.ModuleWASI + ".random_get", []uint64{0, abi.MaxRandom}, 0, 0, 1, 0},
		{abi.ModuleWASI + ".poll_oneoff", []uint64{0, 4096, 64, iov}, 0, 0, 1, 0},
	} {
		sequence(tc.pieces, tc.size)
		looks, to.bytes = 0, 0
		hostCalls()[tc.call](i, slices.Clone(tc.params))
		if looks < tc.looks || tc.looks == 0 && looks > 0 {
			t.Errorf("%s%v of %d pieces of %d bytes looks %d times, wanted %d", tc.call, tc.params, tc.pieces, tc.size,
				looks, tc.looks)
		}
		if to.bytes != tc.bytes {
			t.Errorf("%s%v of %d pieces of %d bytes writes %d bytes, wanted %d", tc.call, tc.params, tc.pieces, tc.size,
				to.bytes, tc.bytes)
		}
	}
}

// TestHeldIsOnePiece: what restoreState writes is held back without memory for each
// piece, and in order.
func TestHeldIsOnePiece(t *testing.T) {
	i := standing(t, "echo").instance(t)
	i.phase = phaseRestore
	i.conns.add(&conn{in: i, t: &sink{}, handle: 1, stage: stageOpen})
	i.guard.Arm(time.Minute)
	want := ""
	for n := range 1000 {
		for _, size := range []uint32{0, 1, 0} {
			i.mem.WriteByte(0, byte(n))
			stack := []uint64{1, 0, uint64(size)}
			transportWrite(i, stack)
			if got := int(stack[0]); got != len(want)+int(size) {
				t.Fatalf("write %d of %d bytes was answered with %d", n, size, got)
			}
			want += string(view(i, "", 0, size))
		}
	}
	if got := i.conns.get(1).held; string(got) != want || cap(got) > 2*len(want) {
		t.Errorf("%d bytes are held, in room for %d, wanted %d", len(got), cap(got), len(want))
	}
	i.dropMoved()
}
