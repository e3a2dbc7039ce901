// Package abi is the contract between the host and a guest, version 1: names,
// signatures, codes and limits, as one table from which the validator, the host
// module builder, the inspect command and the SDKs' constants and imports are
// made, and which ABI.md is held to. It does no I/O and knows no WASM runtime.
package abi

// Version is the version of the contract, and VersionPrefix begins the marker
// export that names it.
const (
	Version       = 1
	VersionPrefix = "abi_version_"
)

// Limits that the contract itself sets; Limits lists those that guests meet.
const (
	MaxReceiveBuffer = 1 << 20   // bytes of the buffer that receiveBuffer names at most
	MaxSequence      = 1024      // pairs that one writeSequence takes at most
	MaxLogMessage    = 4 << 10   // bytes of a log message that are kept
	MaxRandom        = 64 << 10  // bytes of one random_get at most
	MaxHandOver      = 1 << 20   // bytes of one handOver at most
	MaxMetricName    = 128       // bytes of the name of a metric at most
	MaxAssetName     = 1 << 10   // bytes of the name of a file of the plugin's assets at most
	MaxDatagrams     = 1024      // records of a batch at most, both ways
	MinDatagrams     = 1 << 10   // bytes of a receiveBuffer that datagrams can be received in, at least
	MaxHandle        = 1<<31 - 1 // of connections, sockets and timers; the lowest is 1
)

// Declined is what saveState returns to say that there is no state to move.
const Declined = ^uint64(0)

// Unpack takes a range of linear memory out of its packed form, ptr << 32 | size:
// an offset and a number of bytes, which may lie outside.
func Unpack(v uint64) (ptr, size uint32) { return uint32(v >> 32), uint32(v) }
