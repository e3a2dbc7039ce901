package wirehost

import "strconv"

// MaxStringLength is the default of MaxLength of the string receivers, in bytes.
const MaxStringLength = 99999

// StringCallback has what a protocol that embeds NetstringReceiver or one of the
// IntNStringReceivers must have. A string may be empty, and is valid until
// StringReceived returns.
type StringCallback interface {
	StringReceived(s []byte)
}

// stringCallback finds the outermost type's method.
func stringCallback(outermost Protocol) StringCallback {
	h, ok := outermost.(StringCallback)
	if !ok {
		panic("wirehost: " + typeName(outermost) + " embeds a string receiver and has no StringReceived(s []byte)")
	}
	return h
}

// longest is MaxLength or its default.
func longest(maxLength int) int {
	if maxLength <= 0 {
		return MaxStringLength
	}
	return maxLength
}

// NetstringReceiver takes the stream apart into netstrings, `3:abc,` (Twisted's
// NetstringReceiver; https://cr.yp.to/proto/netstrings.txt). Embed it and have a
// StringReceived.
//
// A length that begins with a needless 0, has something else than digits, or is
// over MaxLength closes the connection at the first such byte, and so does a
// string without its comma.
type NetstringReceiver struct {
	framing
	MaxLength int // bytes of a string; 0 is MaxStringLength
	strings   StringCallback
}

func (n *NetstringReceiver) wire(outermost Protocol) {
	n.stepper, n.strings = n, stringCallback(outermost)
}

func (n *NetstringReceiver) step() bool {
	size, digits, ok := n.prefix()
	if !ok {
		return false
	}
	end := digits + 1 + size
	if len(n.rest) <= end {
		return false
	}
	if n.rest[end] != ',' {
		n.closeFor("a netstring has no comma")
		return false
	}
	n.strings.StringReceived(n.take(end + 1)[digits+1 : end : end])
	return true
}

// prefix reads the length at the front of rest. Its digits are few: no more
// than those of MaxLength.
func (n *NetstringReceiver) prefix() (size, digits int, ok bool) {
	most := longest(n.MaxLength)
	for i, b := range n.rest {
		switch {
		case b == ':' && i > 0:
			return size, i, true
		case b < '0' || b > '9':
			n.closeFor("a netstring's length is no number")
			return 0, 0, false
		case i > 0 && size == 0:
			n.closeFor("a netstring's length begins with 0")
			return 0, 0, false
		}
		if size = size*10 + int(b-'0'); size > most {
			n.closeFor("a netstring is too long")
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// SendString writes s as a netstring.
func (n *NetstringReceiver) SendString(s []byte) error {
	var prefix [24]byte
	if _, err := n.Transport.Write(append(strconv.AppendInt(prefix[:0], int64(len(s)), 10), ':')); err != nil {
		return err
	}
	if _, err := n.Transport.Write(s); err != nil {
		return err
	}
	_, err := n.Transport.WriteString(",")
	return err
}
