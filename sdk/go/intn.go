package wirehost

import (
	"errors"
	"math"
)

// ErrStringTooLong means that the length of a string does not fit its prefix
// (Twisted's StringTooLongError).
var ErrStringTooLong = errors.New("string too long for its length prefix")

// intNFraming takes strings with a big-endian length in front.
type intNFraming struct {
	framing
	MaxLength int // bytes of a string; 0 is MaxStringLength

	size    int // of the prefix, in bytes
	strings interface {
		StringCallback
		LengthLimitExceeded(length uint32)
	}
}

func (n *intNFraming) wireIntN(outermost Protocol, size int) {
	stringCallback(outermost)
	n.stepper, n.size = n, size
	n.strings = outermost.(interface {
		StringCallback
		LengthLimitExceeded(length uint32)
	})
}

func (n *intNFraming) step() bool {
	if len(n.rest) < n.size {
		return false
	}
	var length uint32
	for _, b := range n.rest[:n.size] {
		length = length<<8 | uint32(b)
	}
	if uint64(length) > uint64(longest(n.MaxLength)) {
		n.strings.LengthLimitExceeded(length)
		if !n.Transport.Disconnecting() { // what follows has no frame any more
			n.closeFor("a string is too long")
		}
		return false
	}
	end := n.size + int(length)
	if len(n.rest) < end {
		return false
	}
	n.strings.StringReceived(n.take(end)[n.size:end:end])
	return true
}

// LengthLimitExceeded is called for a string that is longer than MaxLength, as
// soon as its prefix is there. This one does nothing; a protocol may have its
// own, to say so to the peer. The connection is closed when it returns.
func (n *intNFraming) LengthLimitExceeded(length uint32) {}

// SendString writes s with its length in front. ErrStringTooLong means that the
// length does not fit; nothing is written then.
func (n *intNFraming) SendString(s []byte) error {
	if uint64(len(s)) > math.MaxUint32>>(32-8*n.size) {
		return ErrStringTooLong
	}
	length := [4]byte{byte(len(s) >> 24), byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))}
	if _, err := n.Transport.Write(length[4-n.size:]); err != nil {
		return err
	}
	_, err := n.Transport.Write(s)
	return err
}

// Int8StringReceiver takes the stream apart into strings of up to 255 bytes, with
// their length in one byte in front (Twisted's Int8StringReceiver). Embed it and
// have a StringReceived.
type Int8StringReceiver struct{ intNFraming }

func (n *Int8StringReceiver) wire(outermost Protocol) { n.wireIntN(outermost, 1) }

// Int16StringReceiver takes the stream apart into strings of up to 65,535 bytes,
// with their length in two bytes, big-endian, in front.
type Int16StringReceiver struct{ intNFraming }

func (n *Int16StringReceiver) wire(outermost Protocol) { n.wireIntN(outermost, 2) }

// Int32StringReceiver takes the stream apart into strings with their length in
// four bytes, big-endian, in front. One over MaxLength closes the connection.
type Int32StringReceiver struct{ intNFraming }

func (n *Int32StringReceiver) wire(outermost Protocol) { n.wireIntN(outermost, 4) }
