// Package abi is the contract between the host and a guest, version 1: names,
// signatures, codes and limits, as one table from which the validator, the host
// module builder, the inspect command and ABI.md are made. It does no I/O and
// knows no WASM runtime.
package abi

import "fmt"

// Version is the version of the contract, and VersionPrefix begins the marker
// export that names it.
const (
	Version       = 1
	VersionPrefix = "abi_version_"
)

// Limits that the contract itself sets.
const (
	MaxReceive       = 64 << 10 // bytes that one dataReceived gets at most
	MaxReceiveBuffer = 1 << 20  // bytes of the buffer that receiveBuffer names at most
	MaxSequence      = 1024     // pairs that one writeSequence takes at most
	MaxLogMessage    = 4 << 10  // bytes of a log message that are kept
	MaxRandom        = 64 << 10 // bytes of one random_get
	MaxHandle        = 1<<31 - 1
)

// Declined is what saveState returns to say that there is no state to move.
const Declined = ^uint64(0)

// Status is what a host call returns: 0 or a count on success, one of these on
// failure.
type Status int32

const (
	StatusOK Status = 0
	ENOCONN  Status = -1 // no such connection
	EINVAL   Status = -2 // bad argument
	E2BIG    Status = -3 // over a limit
	EPERM    Status = -4 // not allowed
	EBUSY    Status = -5 // already so
	ENOTIMER Status = -6 // no such timer
	ENOTSUP  Status = -7 // not on this transport
	ENOTNOW  Status = -8 // not in this callback
)

// StatusText is a status code's name and meaning, for documentation.
type StatusText struct {
	Status  Status
	Name    string
	Meaning string
}

// Statuses lists the codes.
func Statuses() []StatusText {
	return []StatusText{
		{ENOCONN, "ENOCONN", "no such connection"}, {EINVAL, "EINVAL", "bad argument"},
		{E2BIG, "E2BIG", "over a limit"}, {EPERM, "EPERM", "not allowed"},
		{EBUSY, "EBUSY", "already so"}, {ENOTIMER, "ENOTIMER", "no such timer"},
		{ENOTSUP, "ENOTSUP", "not on this transport"}, {ENOTNOW, "ENOTNOW", "not in this callback"},
	}
}

func (s Status) String() string {
	for _, t := range Statuses() {
		if t.Status == s {
			return fmt.Sprintf("%d %s (%s)", int32(s), t.Name, t.Meaning)
		}
	}
	return fmt.Sprint(int32(s))
}

// Reason says why a connection ended, in connectionLost and
// clientConnectionFailed.
type Reason int32

const (
	ReasonDone         Reason = iota // clean close by either side
	ReasonLost                       // I/O error
	ReasonAborted                    // by us
	ReasonTimeout                    //
	ReasonTLSFailure                 //
	ReasonShuttingDown               // the host shuts down
	ReasonReplaced                   // by a reload
	ReasonOverLimit                  //
	ReasonTrapped                    // the guest trapped
	ReasonRefused                    // connect
	ReasonNoSuchHost                 // connect
	ReasonNotAllowed                 // connect: the address
)

// Reasons lists the reasons' meanings, by number.
func Reasons() []string {
	return []string{
		"done (clean close by either side)", "lost (I/O error)", "aborted (by us)", "timeout", "TLS failure",
		"host shutting down", "replaced by a reload", "over a limit", "guest trapped", "refused", "no such host",
		"address not allowed",
	}
}

func (r Reason) String() string {
	if texts := Reasons(); r >= 0 && int(r) < len(texts) {
		return texts[r]
	}
	return fmt.Sprintf("reason %d", int32(r))
}

// Levels of log.emit.
const (
	LevelTrace = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Bits of transport.state.
const (
	StatePaused      = 1 << iota // paused by the guest
	StatePeerClosed              // the peer has closed its writing side
	StateWriteClosed             // our writing side is closed, or will be
	StateClosing                 // loseConnection was called
	StateProducer                // a producer is registered
	StateTLS                     //
	StateOutgoing                // made by connect
)

// Pack makes the packed form of a range of linear memory.
func Pack(ptr, size uint32) uint64 { return uint64(ptr)<<32 | uint64(size) }

// Unpack is Pack's inverse.
func Unpack(v uint64) (ptr, size uint32) { return uint32(v >> 32), uint32(v) }
