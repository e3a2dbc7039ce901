package wirehost

import "unsafe"

// The imports of the ABI, as abi/ABI.md gives them. A pointer is an offset in
// linear memory; the server keeps none past the call, so nothing escapes.

//go:wasmimport transport write
//go:noescape
func importWrite(conn int32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport transport writeSequence
//go:noescape
func importWriteSequence(conn int32, iov unsafe.Pointer, n uint32) int32

//go:wasmimport transport loseConnection
func importLoseConnection(conn int32) int32

//go:wasmimport transport loseWriteConnection
func importLoseWriteConnection(conn int32) int32

//go:wasmimport transport abortConnection
func importAbortConnection(conn int32) int32

//go:wasmimport transport pauseProducing
func importPauseProducing(conn int32) int32

//go:wasmimport transport resumeProducing
func importResumeProducing(conn int32) int32

//go:wasmimport transport registerProducer
func importRegisterProducer(conn, streaming int32) int32

//go:wasmimport transport unregisterProducer
func importUnregisterProducer(conn int32) int32

//go:wasmimport transport state
func importState(conn int32) int32

//go:wasmimport transport setTimeout
func importSetTimeout(conn, ms int32) int32

//go:wasmimport transport getPeer
//go:noescape
func importGetPeer(conn int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport transport getHost
//go:noescape
func importGetHost(conn int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport transport reason
//go:noescape
func importReason(conn int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport transport setTcpNoDelay
func importSetTCPNoDelay(conn, on int32) int32

//go:wasmimport transport setTcpKeepAlive
func importSetTCPKeepAlive(conn, on int32) int32

//go:wasmimport transport startTLS
func importStartTLS(conn int32) int32

//go:wasmimport transport getPeerCertificate
//go:noescape
func importGetPeerCertificate(conn int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport transport negotiatedProtocol
//go:noescape
func importNegotiatedProtocol(conn int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport reactor callLater
func importCallLater(ms int32) int32

//go:wasmimport reactor cancel
func importCancel(timer int32) int32

//go:wasmimport reactor reset
func importReset(timer, ms int32) int32

//go:wasmimport reactor seconds
func importSeconds() float64

//go:wasmimport reactor connect
//go:noescape
func importConnect(endpoint unsafe.Pointer, size uint32, ms int32) int32

//go:wasmimport factory config
//go:noescape
func importConfig(buf unsafe.Pointer, size uint32) int32

//go:wasmimport log emit
//go:noescape
func importEmit(level int32, ptr unsafe.Pointer, size uint32) int32
