package host

import (
	"slices"
	"testing"

	"github.com/wirehost/wirehost/abi"
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
	for _, name := range exportNames {
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
	for r := reactor.Done; r <= reactor.NotAllowed; r++ {
		t.Logf("%d: %q, %q", r, r, abi.Reason(r))
	}
	for _, c := range []struct {
		reactor reactor.Reason
		abi     abi.Reason
	}{
		{reactor.Done, abi.ReasonDone}, {reactor.Lost, abi.ReasonLost}, {reactor.Aborted, abi.ReasonAborted},
		{reactor.Timeout, abi.ReasonTimeout}, {reactor.TLSFailure, abi.ReasonTLSFailure},
		{reactor.ShuttingDown, abi.ReasonShuttingDown}, {reactor.Replaced, abi.ReasonReplaced},
		{reactor.OverLimit, abi.ReasonOverLimit}, {reactor.ProtocolFailed, abi.ReasonTrapped},
		{reactor.Refused, abi.ReasonRefused}, {reactor.NoSuchHost, abi.ReasonNoSuchHost},
		{reactor.NotAllowed, abi.ReasonNotAllowed},
	} {
		if int32(c.reactor) != int32(c.abi) {
			t.Errorf("%v is %d, %v is %d", c.reactor, c.reactor, c.abi, c.abi)
		}
	}
	for _, c := range []struct {
		reactor reactor.State
		abi     uint32
	}{
		{reactor.StatePaused, abi.StatePaused}, {reactor.StatePeerClosed, abi.StatePeerClosed},
		{reactor.StateWriteClosed, abi.StateWriteClosed}, {reactor.StateClosing, abi.StateClosing},
		{reactor.StateProducer, abi.StateProducer}, {reactor.StateTLS, abi.StateTLS}, {reactor.StateOutgoing, abi.StateOutgoing},
	} {
		if uint32(c.reactor) != c.abi {
			t.Errorf("reactor's state bit %d, abi's %d", c.reactor, c.abi)
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
