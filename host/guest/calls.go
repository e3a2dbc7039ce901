package guest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

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
		"transport.write":               transportWrite,
		"transport.writeSequence":       transportWriteSequence,
		"transport.loseConnection":      closing(reactor.Transport.LoseConnection),
		"transport.loseWriteConnection": onTransport(noResult(reactor.Transport.LoseWriteConnection)),
		"transport.abortConnection":     closing(reactor.Transport.AbortConnection),
		"transport.pauseProducing":      onTransport(noResult(reactor.Transport.PauseProducing)),
		"transport.resumeProducing":     onTransport(noResult(reactor.Transport.ResumeProducing)),
		"transport.registerProducer":    untilEnding(abi.ENOCONN, registerProducer), // it could not be told to stop
		"transport.unregisterProducer":  onTransport(unregisterProducer),
		"transport.state":               transportState,
		"transport.setTimeout":          onTransport(setTimeout),
		"transport.getPeer": getter("transport.getPeer", func(c *conn) []byte {
			return []byte(c.t.Peer())
		}),
		"transport.getHost":         transportGetHost,
		"transport.listener":        transportListener,
		"transport.reason":          transportReason,
		"transport.setTcpNoDelay":   onTransport(onOff(reactor.Transport.SetTCPNoDelay)),
		"transport.setTcpKeepAlive": onTransport(onOff(reactor.Transport.SetTCPKeepAlive)),
		"transport.startTLS": onTransport(func(c *conn, _ []uint64) abi.Status {
			return statusOf(c.t.StartTLS())
		}),
		"transport.startTLSClient": transportStartTLSClient,
		"transport.getPeerCertificate": getter("transport.getPeerCertificate", func(c *conn) []byte {
			return c.t.PeerCertificate()
		}),
		"transport.negotiatedProtocol": getter("transport.negotiatedProtocol", func(c *conn) []byte {
			return []byte(c.t.NegotiatedProtocol())
		}),
		"transport.handOver":    transportHandOver,
		"reactor.callLater":     reactorCallLater,
		"reactor.cancel":        reactorCancel,
		"reactor.reset":         reactorReset,
		"reactor.seconds":       reactorSeconds,
		"reactor.connect":       reactorConnect,
		"reactor.connectAs":     reactorConnectAs,
		"reactor.time":          reactorTime,
		"reactor.random":        reactorRandom,
		"reactor.listen":        reactorListen,
		"reactor.stopListening": reactorStopListening,
		"factory.config":        factoryConfig,
		"log.emit":              logEmit,
		"assets.count":          assetsCount,
		"assets.name":           assetsName,
		"assets.size":           assetsSize,
		"assets.read":           assetsRead,
		"metrics.define":        metricsDefine,
		"metrics.record":        metricsRecord,
	}
	addDatagrams(calls)
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
		compiled, err := b.Compile(ctx)
		if err == nil {
			_, err = rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithRandSource(noRandom{}))
		}
		if err != nil {
			return fmt.Errorf("host: module %s: %w", name, err)
		}
	}
	return meter.Instantiate(experimental.WithFunctionListenerFactory(ctx, profiler{}), rt)
}

// goFunction leads a call to the instance that makes it.
func goFunction(im abi.Import, call hostCall) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		i := ctx.(*callContext).inst
		if i.running != nil {
			watchedCall(i, im, call, stack)
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

func fail(stack []uint64, s abi.Status) { stack[0] = api.EncodeI32(int32(s)) }

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func factoryConfig(i *Instance, stack []uint64) {
	stack[0] = give(i, "factory.config", uint32(stack[0]), uint32(stack[1]), i.guest.config)
}
