package wirehost

import "unsafe"

// instance is this module's instance. It is set by Register, which runs in
// _initialize, and belongs to the one thread there is.
var instance = newGuest(host{}, nil)

// Register says which Factory builds the protocols. It is called once, from
// init or from a package variable of the plugin.
func Register(f Factory) {
	switch {
	case f == nil:
		panic("wirehost: Register(nil)")
	case instance.factory != nil:
		panic("wirehost: Register was called twice")
	}
	instance.factory = f
}

// pack makes the packed form of b: ptr << 32 | len, 0 of an empty one.
func pack(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	ptr, size := at(b)
	return uint64(uintptr(ptr))<<32 | uint64(size)
}

// slice finds the bytes at ptr in one of the buffers that the server may write
// to; anything else is a fault of the server.
func slice(ptr, size uint32, buffers ...[]byte) []byte {
	for _, b := range buffers {
		start, n := at(b)
		offset := ptr - uint32(uintptr(start))
		if offset <= n && size <= n-offset {
			return b[offset : offset+size : offset+size]
		}
	}
	panic("wirehost: bytes outside the registered buffers")
}

//go:wasmexport abi_version_1
func exportVersion() {}

//go:wasmexport receiveBuffer
func exportReceiveBuffer() uint64 { return pack(instance.ReceiveBuffer()) }

//go:wasmexport startFactory
func exportStartFactory() int32 { return instance.StartFactory() }

//go:wasmexport stopFactory
func exportStopFactory() { instance.StopFactory() }

//go:wasmexport buildProtocol
func exportBuildProtocol(conn int32) int32 { return instance.BuildProtocol(conn) }

//go:wasmexport connectionMade
func exportConnectionMade(conn int32) { instance.ConnectionMade(conn) }

//go:wasmexport dataReceived
func exportDataReceived(conn int32, ptr, size uint32) {
	g := instance
	offset := ptr - uint32(uintptr(unsafe.Pointer(unsafe.SliceData(g.receive))))
	g.find(conn).protocol.DataReceived(g.receive[offset:][:size:size]) // guest.DataReceived, and a call less
	g.leave()
}

//go:wasmexport connectionLost
func exportConnectionLost(conn, reason int32) { instance.ConnectionLost(conn, Reason(reason)) }

//go:wasmexport readConnectionLost
func exportReadConnectionLost(conn int32) { instance.ReadConnectionLost(conn) }

//go:wasmexport writeConnectionLost
func exportWriteConnectionLost(conn int32) { instance.WriteConnectionLost(conn) }

//go:wasmexport handshakeCompleted
func exportHandshakeCompleted(conn int32) { instance.HandshakeCompleted(conn) }

//go:wasmexport pauseProducing
func exportPauseProducing(conn int32) { instance.PauseProducing(conn) }

//go:wasmexport resumeProducing
func exportResumeProducing(conn int32) { instance.ResumeProducing(conn) }

//go:wasmexport stopProducing
func exportStopProducing(conn int32) { instance.StopProducing(conn) }

//go:wasmexport delayedCall
func exportDelayedCall(timer int32) { instance.DelayedCall(timer) }

//go:wasmexport clientConnectionFailed
func exportClientConnectionFailed(conn, reason int32) {
	instance.ClientConnectionFailed(conn, Reason(reason))
}

//go:wasmexport logPrefix
func exportLogPrefix() uint64 { return pack(instance.LogPrefix()) }

//go:wasmexport instanceMade
func exportInstanceMade(ptr, size uint32) {
	seed := slice(ptr, size, instance.receive)
	if runtimeGenerator != nil && len(seed) == 32 {
		runtimeGenerator.reseed(seed)
	}
	instance.InstanceMade(seed)
}

//go:wasmexport stateVersion
func exportStateVersion() int32 { return instance.StateVersion() }

//go:wasmexport saveState
func exportSaveState(conn int32) uint64 {
	state, ok := instance.SaveState(conn)
	if !ok {
		return ^uint64(0)
	}
	return pack(state)
}

//go:wasmexport restoreState
func exportRestoreState(conn, version int32, ptr, size uint32) int32 {
	var state []byte
	if size > 0 {
		state = slice(ptr, size, instance.receive, instance.restore)
	}
	return instance.RestoreState(conn, version, state)
}

//go:wasmexport restoreBuffer
func exportRestoreBuffer(size uint32) uint32 {
	ptr, _ := at(instance.RestoreBuffer(size))
	return uint32(uintptr(ptr))
}
