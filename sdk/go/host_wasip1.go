package wirehost

import "unsafe"

// host is the server: in a guest its methods are the imports themselves, with
// no table in between. See the interface Host for what each does.
type host struct{}

// NewGuest is for tests, which run natively; here it panics.
func NewGuest(Host, Factory) Guest { panic("wirehost: NewGuest in a guest: tests run natively") }

// Instance is this instance of the plugin, for package datagram, whose exports call it: with
// it the instance knows of sockets.
func Instance() Guest {
	instance.sockets = socketCalls{}
	return instance
}

// iovec holds the pairs of a WriteSequence, and the parts that they are of:
// an address that is a number does not follow a stack that moves, so the parts
// must be on the heap, where nothing moves.
var iovec struct {
	parts [][]byte
	iov   [][2]uint32
}

func at(p []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))
}

func (host) Write(conn int32, p []byte) int32 {
	ptr, size := at(p)
	return importWrite(conn, ptr, size)
}

func (host) WriteSequence(conn int32, parts [][]byte) int32 {
	iovec.parts, iovec.iov = parts, iovec.iov[:0]
	for _, p := range parts {
		ptr, size := at(p)
		iovec.iov = append(iovec.iov, [2]uint32{uint32(uintptr(ptr)), size})
	}
	n := importWriteSequence(conn, unsafe.Pointer(unsafe.SliceData(iovec.iov)), uint32(len(iovec.iov)))
	iovec.parts = nil
	return n
}

func (host) LoseConnection(conn int32) int32      { return importLoseConnection(conn) }
func (host) LoseWriteConnection(conn int32) int32 { return importLoseWriteConnection(conn) }
func (host) AbortConnection(conn int32) int32     { return importAbortConnection(conn) }
func (host) PauseProducing(conn int32) int32      { return importPauseProducing(conn) }
func (host) ResumeProducing(conn int32) int32     { return importResumeProducing(conn) }
func (host) UnregisterProducer(conn int32) int32  { return importUnregisterProducer(conn) }
func (host) State(conn int32) int32               { return importState(conn) }
func (host) SetTimeout(conn, ms int32) int32      { return importSetTimeout(conn, ms) }
func (host) StartTLS(conn int32) int32            { return importStartTLS(conn) }

func (host) StartTLSClient(conn int32, name string) int32 {
	return importStartTLSClient(conn, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)))
}

func (host) HandOver(conn int32, plugin string, first []byte) int32 {
	return importHandOver(conn, unsafe.Pointer(unsafe.StringData(plugin)), uint32(len(plugin)),
		unsafe.Pointer(unsafe.SliceData(first)), uint32(len(first)))
}

func (host) RegisterProducer(conn int32, streaming bool) int32 {
	return importRegisterProducer(conn, flag(streaming))
}

func (host) SetTCPNoDelay(conn int32, on bool) int32   { return importSetTCPNoDelay(conn, flag(on)) }
func (host) SetTCPKeepAlive(conn int32, on bool) int32 { return importSetTCPKeepAlive(conn, flag(on)) }

func (host) GetPeer(conn int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importGetPeer(conn, ptr, size)
}

func (host) GetHost(conn int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importGetHost(conn, ptr, size)
}

func (host) Reason(conn int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importReason(conn, ptr, size)
}

func (host) GetPeerCertificate(conn int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importGetPeerCertificate(conn, ptr, size)
}

func (host) NegotiatedProtocol(conn int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importNegotiatedProtocol(conn, ptr, size)
}

func (host) CallLater(ms int32) int32    { return importCallLater(ms) }
func (host) Cancel(timer int32) int32    { return importCancel(timer) }
func (host) Reset(timer, ms int32) int32 { return importReset(timer, ms) }
func (host) Seconds() float64            { return importSeconds() }

func (host) Connect(endpoint string, ms int32) int32 {
	return importConnect(unsafe.Pointer(unsafe.StringData(endpoint)), uint32(len(endpoint)), ms)
}

func (host) Listen(endpoint string) int32 {
	return importListen(unsafe.Pointer(unsafe.StringData(endpoint)), uint32(len(endpoint)))
}

func (host) StopListening(listener int32) int32 { return importStopListening(listener) }
func (host) Listener(conn int32) int32          { return importListener(conn) }

func (host) Send(sock int32, records []byte, n int32) int32 {
	ptr, _ := at(records)
	return importSend(sock, ptr, uint32(n))
}

func (host) Open(endpoint string) int32 {
	return importOpen(unsafe.Pointer(unsafe.StringData(endpoint)), uint32(len(endpoint)))
}

func (host) Join(sock int32, group string) int32 {
	return importJoin(sock, unsafe.Pointer(unsafe.StringData(group)), uint32(len(group)))
}

func (host) Leave(sock int32, group string) int32 {
	return importLeave(sock, unsafe.Pointer(unsafe.StringData(group)), uint32(len(group)))
}

func (host) SetOption(sock, option, value int32) int32 { return importSetOption(sock, option, value) }

func (host) ConnectAs(conn int32, endpoint string, ms int32) int32 {
	return importConnectAs(conn, unsafe.Pointer(unsafe.StringData(endpoint)), uint32(len(endpoint)), ms)
}

func (host) Time() float64 { return importTime() }

func (host) Random(buf []byte) int32 {
	ptr, size := at(buf)
	return importRandom(ptr, size)
}

func (host) Config(buf []byte) int32 {
	ptr, size := at(buf)
	return importConfig(ptr, size)
}

func (host) Emit(level int32, text string) int32 {
	return importEmit(level, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

func (host) Define(kind int32, name string) int32 {
	return importDefine(kind, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)))
}

func (host) AssetCount() int32       { return importCount() }
func (host) AssetSize(i int32) int32 { return importSize(i) }

func (host) AssetName(i int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importName(i, ptr, size)
}

func (host) AssetRead(i, offset int32, buf []byte) int32 {
	ptr, size := at(buf)
	return importRead(i, offset, ptr, size)
}

func (host) Record(id int32, value float64) int32 { return importRecord(id, value) }

func flag(on bool) int32 {
	if on {
		return 1
	}
	return 0
}
