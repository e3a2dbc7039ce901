package wirehost

import "strconv"

// Status is an error that the server answered a call with. Statuses are
// constants: compare with == or errors.Is.
type Status int32

// Error is the status in words, such as "over a limit".
func (s Status) Error() string {
	if text := statusText(s); text != "" {
		return text
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

// String is the reason in words, such as "timeout".
func (r Reason) String() string {
	if text := reasonText(r); text != "" {
		return text
	}
	return "reason " + strconv.Itoa(int(r))
}

// State is a set of bits that describe a connection.
type State int32

// Level is the weight of a log line.
type Level int32
