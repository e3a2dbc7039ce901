package wirehost

import (
	"encoding/binary"
	"errors"
)

// framer is a Protocol that finds methods of the type that embeds it.
type framer interface{ wire(outermost Protocol) }

// framing is what all framers have in common: the bytes that are not consumed
// yet, and the pause in their middle. A framer's step consumes one frame from
// the front of rest, delivers it, and tells whether there may be another.
//
// Frames are delivered as slices of rest, with no copy; they are valid until
// the callback returns.
//
// From StartTLS until HandshakeCompleted nothing is taken in: whatever is there
// then came in plain text, and anybody on the way may have put it there (RFC
// 3207, section 4.2; CVE-2011-0411).
type framing struct {
	Base
	stepper interface{ step() bool }
	rest    []byte // not consumed; outside DataReceived always our own memory
	own     bool   // rest is our own memory
	busy    bool   // in DataReceived
	paused  bool   // by PauseProducing
}

// DataReceived takes bytes apart into frames, and delivers them until there is no whole
// one, or none may be. Without bytes it goes on with what is there.
func (f *framing) DataReceived(data []byte) {
	t := f.Transport
	switch {
	case t.is&isShaking != 0:
		return
	case f.busy: // from inside a frame's callback: behind what is there
		f.rest, f.own = append(f.rest[:len(f.rest):len(f.rest)], data...), true
		return
	case len(f.rest) == 0:
		f.rest, f.own = data, false
	default:
		f.rest = append(f.rest, data...)
	}
	f.busy = true
	for !f.paused && !t.Disconnecting() && f.stepper.step() {
	}
	f.busy = false
	switch {
	case len(f.rest) > 0 && !t.Disconnecting():
		if !f.own {
			f.rest, f.own = append([]byte(nil), f.rest...), true
		}
	case f.own || len(f.rest) > 0: // what is left of none is the server's buffer, and holds no memory
		f.rest = nil
	}
}

// startedTLS drops what came in plain text.
func (f *framing) startedTLS() { f.rest = nil }

// take cuts n bytes from the front of rest.
func (f *framing) take(n int) []byte {
	frame := f.rest[:n:n]
	f.rest = f.rest[n:]
	return frame
}

// PauseProducing stops the delivery at once, in the middle of what was already
// received too, and stops reading from the peer.
func (f *framing) PauseProducing() error {
	f.paused = true
	return f.Transport.PauseProducing()
}

// ResumeProducing goes on, with what was already received first.
func (f *framing) ResumeProducing() error {
	f.paused = false
	err := f.Transport.ResumeProducing()
	if !f.busy {
		f.DataReceived(nil)
	}
	return err
}

// AppendState appends the framer's part of a protocol's state to b: what is
// received and not delivered, and whether it is paused.
func (f *framing) AppendState(b []byte) []byte { return f.appendState(b, 0) }

// LoadState is AppendState's inverse, for RestoreState. It returns what follows.
func (f *framing) LoadState(b []byte) (rest []byte, err error) {
	_, rest, err = f.loadState(b)
	return rest, err
}

const (
	statePaused = 1 << iota
	stateRaw
)

var errShortState = errors.New("state of the framer: cut short")

func (f *framing) appendState(b []byte, flags byte) []byte {
	if f.paused {
		flags |= statePaused
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(len(f.rest)))
	return append(b, f.rest...)
}

func (f *framing) loadState(b []byte) (flags byte, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errShortState
	}
	flags, b = b[0], b[1:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return 0, nil, errShortState
	}
	b = b[n:]
	f.paused = flags&statePaused != 0
	f.rest, f.own = append([]byte(nil), b[:size]...), true
	return flags, b[size:], nil
}
