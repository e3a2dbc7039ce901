package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// hostCall does what a guest asks for. stack holds its parameters and takes its
// result. Slots of i32 carry garbage in their upper half.
type hostCall func(i *Instance, stack []uint64)

// hostCalls are the functions that the host gives, by module.name: those of
// abi.Imports, a test says, and of abi.WASI.
func hostCalls() map[string]hostCall {
	calls := map[string]hostCall{
		"transport.write":          transportWrite,
		"transport.writeSequence":  transportWriteSequence,
		"transport.loseConnection": closing(reactor.Transport.LoseConnection),
		"transport.loseWriteConnection": onTransport("loseWriteConnection",
			noResult(reactor.Transport.LoseWriteConnection)),
		"transport.abortConnection":    closing(reactor.Transport.AbortConnection),
		"transport.pauseProducing":     onTransport("pauseProducing", noResult(reactor.Transport.PauseProducing)),
		"transport.resumeProducing":    onTransport("resumeProducing", noResult(reactor.Transport.ResumeProducing)),
		"transport.registerProducer":   onTransport("registerProducer", registerProducer),
		"transport.unregisterProducer": onTransport("unregisterProducer", unregisterProducer),
		"transport.state":              transportState,
		"transport.setTimeout":         onTransport("setTimeout", setTimeout),
		"transport.getPeer":            getter("transport.getPeer", func(c *conn) []byte { return []byte(c.t.Peer()) }),
		"transport.getHost":            getter("transport.getHost", func(c *conn) []byte { return []byte(c.t.Host()) }),
		"transport.reason":             transportReason,
		"transport.setTcpNoDelay":      onTransport("setTcpNoDelay", onOff(reactor.Transport.SetTCPNoDelay)),
		"transport.setTcpKeepAlive":    onTransport("setTcpKeepAlive", onOff(reactor.Transport.SetTCPKeepAlive)),
		"transport.startTLS": onTransport("startTLS", func(c *conn, _ []uint64) abi.Status {
			return statusOf(c.t.StartTLS())
		}),
		"transport.getPeerCertificate": getter("transport.getPeerCertificate", func(c *conn) []byte {
			return c.t.PeerCertificate()
		}),
		"transport.negotiatedProtocol": getter("transport.negotiatedProtocol", func(c *conn) []byte {
			return []byte(c.t.NegotiatedProtocol())
		}),
		"reactor.callLater": reactorCallLater,
		"reactor.cancel":    reactorCancel,
		"reactor.reset":     reactorReset,
		"reactor.seconds":   reactorSeconds,
		"reactor.connect":   reactorConnect,
		"factory.config":    factoryConfig,
		"log.emit":          logEmit,
	}
	addWASI(calls)
	return calls
}

// giveHostCalls makes the host's modules in a plugin's runtime.
func giveHostCalls(ctx context.Context, rt wazero.Runtime) error {
	calls := hostCalls()
	builders := map[string]wazero.HostModuleBuilder{}
	for _, im := range slices.Concat(abi.Imports(), abi.WASI()) {
		b := builders[im.Module]
		if b == nil {
			b = rt.NewHostModuleBuilder(im.Module)
			builders[im.Module] = b
		}
		call := calls[im.Key()]
		if call == nil {
			return fmt.Errorf("host: no function %s", im.Key())
		}
		b.NewFunctionBuilder().WithGoModuleFunction(goFunction(im, call), valueTypes(im.Params),
			valueTypes(im.Results)).Export(im.Name)
	}
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host: module %s: %w", name, err)
		}
	}
	return meter.Instantiate(ctx, rt)
}

// goFunction leads a call to the instance that makes it.
func goFunction(im abi.Import, call hostCall) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		i := ctx.(*callContext).inst
		if i.mem == nil { // called from the module's start section
			i.mem = mod.Memory()
		}
		if i.tracing {
			tracedCall(i, im, call, stack)
			return
		}
		call(i, stack)
	}
}

func valueTypes(list []abi.ValueType) []api.ValueType {
	types := make([]api.ValueType, len(list))
	for i, t := range list {
		types[i] = api.ValueType(t)
	}
	return types
}

// view is a range of linear memory, for the time of this call. One outside it is
// a trap. An empty range may lie anywhere: some languages have no other pointer
// for nothing.
func view(i *Instance, call string, ptr, size uint32) []byte {
	if size == 0 {
		return nil
	}
	b, ok := i.mem.Read(ptr, size)
	if !ok {
		panic(&violation{call, fmt.Sprintf("found a range at %#x of %d bytes, outside the memory of %d bytes", ptr,
			size, i.mem.Size())})
	}
	return b
}

// give copies b into the guest's buffer where it fits, and returns its length.
func give(i *Instance, call string, ptr, size uint32, b []byte) uint64 {
	to := view(i, call, ptr, size)
	if len(b) > longRange {
		i.guard.Check()
	}
	if len(b) <= len(to) {
		copy(to, b)
	}
	return api.EncodeI32(int32(len(b)))
}

func fail(stack []uint64, s abi.Status) { stack[0] = api.EncodeI32(int32(s)) }

// statusOf is the status of a transport's error.
func statusOf(err error) abi.Status {
	switch {
	case err == nil:
		return abi.StatusOK
	case errors.Is(err, reactor.ErrOverLimit):
		return abi.E2BIG
	case errors.Is(err, reactor.ErrBusy):
		return abi.EBUSY
	case errors.Is(err, reactor.ErrNotConnected):
		return abi.ENOCONN
	case errors.Is(err, reactor.ErrNotSupported):
		return abi.ENOTSUP
	}
	return abi.EINVAL // the system refuses the option
}

// writable finds the connection that a write is for, or leaves its status.
func writable(i *Instance, stack []uint64) *conn {
	c := i.conn(int32(stack[0]))
	switch {
	case c == nil || c.stage == stageConnecting:
		fail(stack, abi.ENOCONN)
	case i.phase != phaseRun && i.phase != phaseRestore:
		fail(stack, abi.ENOTNOW)
	case c.stage == stageEnding:
		fail(stack, abi.StatusOK)
	default:
		return c
	}
	return nil
}

// Looks at the clock. A guest pays the same fuel for every host call, so one whose
// work grows with the guest's numbers looks at the clock: that it has not slept
// through the callback's time is the meter's only hold on it.
const (
	// longRange is the size, in bytes, from which a write or a getter looks: below it
	// a look would cost more than what it watches.
	longRange = 4 << 10
	// writePart is how much is written between two looks: 0.3 ms of a TLS connection.
	writePart = 256 << 10
)

func transportWrite(i *Instance, stack []uint64) {
	p := view(i, "transport.write", uint32(stack[1]), uint32(stack[2]))
	if len(p) > longRange {
		i.guard.Check()
	}
	c := writable(i, stack)
	switch {
	case c == nil:
	case i.phase == phaseRestore:
		holdBack(i, c, stack, p)
	case len(p) > writePart:
		queued, err := writeParts(i, c, p)
		wrote(stack, queued, err)
	default:
		queued, err := c.t.Write(p)
		wrote(stack, queued, err)
	}
}

// writeParts is a write in parts, with looks at the clock in between.
func writeParts(i *Instance, c *conn, p []byte) (queued int, err error) {
	for len(p) > writePart {
		if queued, err = c.t.Write(p[:writePart]); err != nil {
			return queued, err
		}
		p = p[writePart:]
		i.guard.Check()
	}
	return c.t.Write(p)
}

// writeSequence is a writeSequence, likewise.
func writeSequence(i *Instance, c *conn) (queued int, err error) {
	first, size := 0, 0
	for n, p := range i.pieces {
		if size += len(p); size <= writePart {
			continue
		}
		if queued, err = c.t.WriteSequence(i.pieces[first:n]); err != nil {
			return queued, err
		}
		i.guard.Check()
		first, size = n, len(p)
		if size > writePart {
			if queued, err = writeParts(i, c, p); err != nil {
				return queued, err
			}
			i.guard.Check()
			first, size = n+1, 0
		}
	}
	return c.t.WriteSequence(i.pieces[first:])
}

func wrote(stack []uint64, queued int, err error) {
	if err != nil {
		fail(stack, statusOf(err))
		return
	}
	stack[0] = api.EncodeI32(int32(queued))
}

func transportWriteSequence(i *Instance, stack []uint64) {
	const call = "transport.writeSequence"
	n := uint32(stack[2])
	if n > abi.MaxSequence {
		fail(stack, abi.EINVAL)
		return
	}
	i.guard.Check()
	iov := view(i, call, uint32(stack[1]), 8*n)
	i.pieces = i.pieces[:0]
	for ; len(iov) > 0; iov = iov[8:] {
		i.pieces = append(i.pieces, view(i, call, le32(iov), le32(iov[4:])))
	}
	c := writable(i, stack)
	switch {
	case c == nil:
	case i.phase == phaseRestore:
		holdBack(i, c, stack, i.pieces...)
	default:
		queued, err := writeSequence(i, c)
		wrote(stack, queued, err)
	}
	clear(i.pieces)
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// holdBack keeps what restoreState, in this new instance, writes until the commit, up
// to its version's limits.state.
func holdBack(i *Instance, c *conn, stack []uint64, pieces ...[]byte) {
	state := c.t.State()
	if state&(reactor.StateClosing|reactor.StateWriteClosed) != 0 && state&reactor.StateProducer == 0 {
		fail(stack, abi.StatusOK) // it would be dropped
		return
	}
	held := len(c.held)
	for _, p := range pieces {
		held += len(p)
	}
	if held > int(i.guest.limits.State) {
		fail(stack, abi.E2BIG)
		return
	}
	for _, p := range pieces { // into one piece: each by itself would cost memory, and an empty one too
		c.held = append(c.held, p...)
	}
	stack[0] = api.EncodeI32(int32(held + c.t.Stats().Queued))
}

// closing is loseConnection or abortConnection, which cancel a connection that
// is not made yet as well.
func closing(call func(reactor.Transport)) hostCall {
	return func(i *Instance, stack []uint64) {
		c := i.conn(int32(stack[0]))
		switch {
		case c == nil:
			fail(stack, abi.ENOCONN)
		case i.phase != phaseRun:
			fail(stack, abi.ENOTNOW)
		default:
			call(c.t)
			stack[0] = 0
		}
	}
}

// onTransport is a call about a connection that is there. Inside the callback
// that tells its end, it does nothing.
func onTransport(name string, call func(c *conn, stack []uint64) abi.Status) hostCall {
	return func(i *Instance, stack []uint64) {
		c := i.conn(int32(stack[0]))
		switch {
		case c == nil || c.stage == stageConnecting:
			fail(stack, abi.ENOCONN)
		case i.phase != phaseRun:
			fail(stack, abi.ENOTNOW)
		case (c.gone || c.stage == stageEnding) && name == "registerProducer":
			fail(stack, abi.ENOCONN) // it could not be told to stop
		case c.stage == stageEnding:
			fail(stack, abi.StatusOK)
		default:
			fail(stack, call(c, stack))
		}
	}
}

func noResult(call func(reactor.Transport)) func(*conn, []uint64) abi.Status {
	return func(c *conn, _ []uint64) abi.Status {
		call(c.t)
		return abi.StatusOK
	}
}

func onOff(call func(reactor.Transport, bool) error) func(*conn, []uint64) abi.Status {
	return func(c *conn, stack []uint64) abi.Status {
		on := uint32(stack[1])
		if on > 1 {
			return abi.EINVAL
		}
		return statusOf(call(c.t, on == 1))
	}
}

func registerProducer(c *conn, stack []uint64) abi.Status {
	streaming := uint32(stack[1])
	if streaming > 1 {
		return abi.EINVAL
	}
	err := c.t.RegisterProducer(c, streaming == 1)
	c.producing = c.producing || err == nil
	return statusOf(err)
}

func unregisterProducer(c *conn, _ []uint64) abi.Status {
	c.producing = false
	c.t.UnregisterProducer()
	return abi.StatusOK
}

func setTimeout(c *conn, stack []uint64) abi.Status {
	d, ok := duration(stack[1])
	if !ok {
		return abi.EINVAL
	}
	c.t.SetTimeout(d)
	return abi.StatusOK
}

// known finds the connection that a getter is about, or leaves its status.
func known(i *Instance, stack []uint64) *conn {
	c := i.conn(int32(stack[0]))
	if c == nil || c.stage == stageConnecting {
		fail(stack, abi.ENOCONN)
		return nil
	}
	return c
}

func transportState(i *Instance, stack []uint64) {
	if c := known(i, stack); c != nil {
		stack[0] = uint64(c.t.State())
	}
}

func getter(name string, get func(*conn) []byte) hostCall {
	return func(i *Instance, stack []uint64) {
		view(i, name, uint32(stack[1]), uint32(stack[2]))
		if c := known(i, stack); c != nil {
			stack[0] = give(i, name, uint32(stack[1]), uint32(stack[2]), get(c))
		}
	}
}

func transportReason(i *Instance, stack []uint64) {
	const call = "transport.reason"
	view(i, call, uint32(stack[1]), uint32(stack[2]))
	c := known(i, stack)
	switch {
	case c == nil:
	case c.stage != stageEnding:
		fail(stack, abi.EINVAL)
	default:
		stack[0] = give(i, call, uint32(stack[1]), uint32(stack[2]), []byte(c.reasonText()))
	}
}

func factoryConfig(i *Instance, stack []uint64) {
	stack[0] = give(i, "factory.config", uint32(stack[0]), uint32(stack[1]), i.guest.config)
}
