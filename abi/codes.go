package abi

import "fmt"

// Code is a number of the contract: a row of Statuses, Reasons, Levels, StateBits
// or Limits. The SDKs' constants and their comments are made of these rows.
type Code struct {
	Value   int32
	Symbol  string // ABI.md's name, such as ENOCONN; "" but of statuses
	Name    string // in words, of which each SDK makes its own: "no such host" is NoSuchHost, or NO_SUCH_HOST
	Meaning string // as ABI.md, logs and errors have it; "" of limits
	Comment string // for who writes a protocol; functions stand in braces: "{loseConnection} was called"
}

// find gives the row of a value.
func find(rows []Code, value int32) (Code, bool) {
	for _, c := range rows {
		if c.Value == value {
			return c, true
		}
	}
	return Code{}, false
}

// Status is what a host call returns: 0 or a count on success, one of these on
// failure.
type Status int32

// The statuses, under the names that ABI.md has for them.
const (
	StatusOK Status = 0
	ENOCONN  Status = -1 // no such connection, or it has ended
	EINVAL   Status = -2 // bad argument
	E2BIG    Status = -3 // over a limit
	EPERM    Status = -4 // the configuration does not allow it
	EBUSY    Status = -5 // already so
	ENOTIMER Status = -6 // no such timer, or it has ended
	ENOTSUP  Status = -7 // not on this transport
	ENOTNOW  Status = -8 // not in this callback
)

// Statuses lists the failures, from -1 down.
func Statuses() []Code {
	return []Code{
		{-1, "ENOCONN", "no connection", "no such connection", "no such connection, or it has ended"},
		{-2, "EINVAL", "invalid", "bad argument", "bad argument"},
		{-3, "E2BIG", "too big", "over a limit", "over a limit"},
		{-4, "EPERM", "not allowed", "not allowed", "the configuration does not allow it"},
		{-5, "EBUSY", "busy", "already so", "already so"},
		{-6, "ENOTIMER", "no timer", "no such timer", "no such timer, or it has ended"},
		{-7, "ENOTSUP", "not supported", "not on this transport", "not on this transport"},
		{-8, "ENOTNOW", "not now", "not in this callback", "not in this callback"},
	}
}

// String is the form `-1 ENOCONN (no such connection)`.
func (s Status) String() string {
	if c, ok := find(Statuses(), int32(s)); ok {
		return fmt.Sprintf("%d %s (%s)", c.Value, c.Symbol, c.Meaning)
	}
	return fmt.Sprint(int32(s))
}

// Reason says why a connection ended, in connectionLost and
// clientConnectionFailed: a Value of Reasons.
type Reason int32

// Reasons lists the reasons, from 0 up. Package reactor has the same numbers; the
// ones from 9 to 11 are of connect alone.
func Reasons() []Code {
	return []Code{
		{0, "", "done", "done (clean close by either side)", "clean close by either side"},
		{1, "", "lost", "lost (I/O error)", "I/O error"},
		{2, "", "aborted", "aborted (by us)", "by us"},
		{3, "", "timeout", "timeout", "idle, connect, handshake or flush took too long"},
		{4, "", "TLS failure", "TLS failure", "handshake or record error"},
		{5, "", "shutting down", "host shutting down", "the server shuts down"},
		{6, "", "replaced", "replaced by a reload", "by a reload"},
		{7, "", "over limit", "over a limit", "over a limit"},
		{8, "", "trapped", "guest trapped", "the guest trapped"},
		{9, "", "refused", "refused", "connect: refused or unreachable"},
		{10, "", "no such host", "no such host", "connect: the name does not resolve"},
		{11, "", "not allowed", "address not allowed", "connect: the address is not allowed"},
		{12, "", "handed over", "handed over", "another plugin has it, by {handOver}"},
	}
}

// String is the reason's meaning, and `reason N` of a number that is none.
func (r Reason) String() string {
	if c, ok := find(Reasons(), int32(r)); ok {
		return c.Meaning
	}
	return fmt.Sprintf("reason %d", int32(r))
}

// Levels of log.emit.
const (
	LevelTrace = iota // each step
	LevelDebug        // what helps to find a fault
	LevelInfo         // what whoever runs the server wants to know
	LevelWarn         // it goes on, and somebody should look
	LevelError        // something failed
)

// Levels lists the levels, from 0 up.
func Levels() []Code {
	return []Code{
		{LevelTrace, "", "trace", "trace", "each step"},
		{LevelDebug, "", "debug", "debug", "what helps to find a fault"},
		{LevelInfo, "", "info", "info", "what whoever runs the server wants to know"},
		{LevelWarn, "", "warn", "warn", "it goes on, and somebody should look"},
		{LevelError, "", "error", "error", "something failed"},
	}
}

// Kinds of metrics, as metrics.define gets them.
const (
	MetricCounter   = 1 + iota // record adds to it
	MetricGauge                // record sets it
	MetricHistogram            // record observes
)

// MetricKinds lists the kinds of metrics, from 1 up.
func MetricKinds() []Code {
	return []Code{
		{MetricCounter, "", "counter", "counter", "what is recorded is added"},
		{MetricGauge, "", "gauge", "gauge", "what is recorded last stands"},
		{MetricHistogram, "", "histogram", "histogram", "how often was recorded what, in fixed buckets"},
	}
}

// StateBits lists the bits of transport.state, from the lowest up. Package reactor
// has the same.
func StateBits() []Code {
	return []Code{
		{1, "", "paused", "paused by the guest", "reading is paused by us"},
		{2, "", "peer closed", "peer closed writing", "the peer has closed its writing side"},
		{4, "", "write closed", "our writing closed", "our writing side is closed, or will be"},
		{8, "", "closing", "closing", "{loseConnection} was called"},
		{16, "", "producer", "producer registered", "a producer is registered"},
		{32, "", "TLS", "TLS", "TLS is on"},
		{64, "", "outgoing", "outgoing", "made by {connect}"},
		{128, "", "can start TLS", "startTLS is possible now", "{startTLS} is possible now: there is a certificate"},
	}
}

// DatagramOptions lists what datagram.setOption sets, from 1 up. Package reactor has the
// same.
func DatagramOptions() []Code {
	return []Code{
		{1, "", "multicast hops", "multicast hops", "0 to 255, of datagrams to groups; 1 at the start"},
		{2, "", "multicast loop", "multicast loop", "1: groups of this machine get them too, as at the start; 0"},
		{3, "", "broadcast", "broadcast", "1: they may be sent to all of a network; 0, as at the start"},
		{4, "", "hops", "hops", "1 to 255, of the others"},
	}
}

// Limits lists the contract's limits that a guest meets.
func Limits() []Code {
	return []Code{
		{64 << 10, "", "max receive", "", "bytes of the stream that one callback gets at most"},
		{MaxReceiveBuffer, "", "max receive buffer", "", "bytes of the registered buffer at most"},
		{MaxSequence, "", "max sequence", "", "pieces that one call sends at most"},
		{MaxLogMessage, "", "max log message", "", "bytes of a log message that are kept"},
		{MaxRandom, "", "max random", "", "random bytes that one call gives at most"},
		{MaxDatagrams, "", "max datagrams", "", "records of a batch of datagrams at most, both ways"},
		{MinDatagrams, "", "min datagram buffer", "", "bytes of a registered buffer for datagrams at least"},
		{MaxHandOver, "", "max hand over", "", "bytes that one call gives to another plugin at most"},
	}
}
