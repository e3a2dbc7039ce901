package datagram

import (
	"unsafe"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// instance is this module's, and receive the buffer that it registered.
var (
	instance = wirehost.Instance()
	receive  = instance.ReceiveBuffer()
)

//go:wasmexport startProtocol
func exportStartProtocol(sock int32) { instance.StartProtocol(sock) }

//go:wasmexport stopProtocol
func exportStopProtocol(sock, reason int32) { instance.StopProtocol(sock, wirehost.Reason(reason)) }

//go:wasmexport datagramsReceived
func exportDatagramsReceived(sock int32, ptr, n uint32) {
	offset := ptr - uint32(uintptr(unsafe.Pointer(unsafe.SliceData(receive))))
	instance.DatagramsReceived(sock, receive[offset:], int32(n))
}

//go:wasmexport connectionRefused
func exportConnectionRefused(sock int32) { instance.ConnectionRefused(sock) }
