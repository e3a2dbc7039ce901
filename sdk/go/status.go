package wirehost

import "strconv"

// Status is an error that the server answered a call with. Statuses are
// constants: compare with == or errors.Is.
type Status int32

const (
	ErrNoConnection Status = -1 // no such connection, or it has ended
	ErrInvalid      Status = -2 // bad argument
	ErrTooBig       Status = -3 // over a limit
	ErrNotAllowed   Status = -4 // the configuration does not allow it
	ErrBusy         Status = -5 // already so
	ErrNoTimer      Status = -6 // no such timer, or it has ended
	ErrNotSupported Status = -7 // not on this transport
	ErrNotNow       Status = -8 // not in this callback
)

func (s Status) Error() string {
	texts := [...]string{
		"no such connection", "bad argument", "over a limit", "not allowed", "already so", "no such timer",
		"not on this transport", "not in this callback",
	}
	if i := -int(s) - 1; i >= 0 && i < len(texts) {
		return texts[i]
	}
	return "status " + strconv.Itoa(int(s))
}

// statusError makes an error of what the server returned: nil for a count.
func statusError(n int32) error {
	if n >= 0 {
		return nil
	}
	return Status(n)
}

// Reason says why a connection ended or could not be made.
type Reason int32

const (
	Done         Reason = 0  // clean close by either side
	Lost         Reason = 1  // I/O error
	Aborted      Reason = 2  // by us
	Timeout      Reason = 3  // idle, connect, handshake or flush took too long
	TLSFailure   Reason = 4  // handshake or record error
	ShuttingDown Reason = 5  // the server shuts down
	Replaced     Reason = 6  // by a reload
	OverLimit    Reason = 7  // over a limit
	Trapped      Reason = 8  // the guest trapped
	Refused      Reason = 9  // connect: refused or unreachable
	NoSuchHost   Reason = 10 // connect: the name does not resolve
	NotAllowed   Reason = 11 // connect: the address is not allowed
)

func (r Reason) String() string {
	texts := [...]string{
		"done", "lost", "aborted", "timeout", "TLS failure", "server shutting down", "replaced by a reload",
		"over a limit", "guest trapped", "refused", "no such host", "address not allowed",
	}
	if r >= 0 && int(r) < len(texts) {
		return texts[r]
	}
	return "reason " + strconv.Itoa(int(r))
}

// State is a set of bits that describe a connection.
type State int32

const (
	StatePaused      State = 1 << iota // reading is paused by us
	StatePeerClosed                    // the peer has closed its writing side
	StateWriteClosed                   // our writing side is closed, or will be
	StateClosing                       // LoseConnection was called
	StateProducer                      // a producer is registered
	StateTLS                           // TLS is on
	StateOutgoing                      // made by Connect
)

// Level is the weight of a log line.
type Level int32

const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)
