// Package relay joins two connections of one instance, so that what comes in on
// one goes out on the other, both ways: bytes, ends and resets, and no faster
// than the slower side takes them.
package relay

import (
	"encoding/binary"
	"errors"

	"github.com/wirehost/wirehost/examples/internal/state"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Side is one of the two: embed it in both protocols.
type Side struct {
	wirehost.Base
	outer Protocol // that embeds it, once it was linked
	other *Side
}

// side finds the Side in what embeds it.
func (s *Side) side() *Side { return s }

// Protocol is a type that embeds Side.
type Protocol interface {
	wirehost.Protocol
	side() *Side
}

// Link makes two sides know each other, so that when one ends the other does. One
// of them may still be connecting. Nothing is forwarded before Join.
func Link(a, b Protocol) {
	a.side().outer, b.side().outer = a, b
	a.side().other, b.side().other = b.side(), a.side()
}

// Other is the other side's protocol, or nil.
func (s *Side) Other() Protocol {
	if s.other == nil {
		return nil
	}
	return s.other.outer
}

// Unlink makes the two forget each other.
func (s *Side) Unlink() { s.other.other, s.other = nil, nil }

// Join begins to forward between linked sides that are both connected, and lets
// the other one be read, which was paused until now. The reading of each is the
// producer of the other's output: it pauses where that is not taken.
func (s *Side) Join() error {
	o := s.other
	if o == nil {
		return wirehost.ErrNoConnection
	}
	return errors.Join(
		s.Transport.RegisterProducer(o.Transport.Reading(), true),
		o.Transport.RegisterProducer(s.Transport.Reading(), true),
		o.Transport.ResumeProducing())
}

// DataReceived forwards. What comes of it the other's ConnectionLost tells.
func (s *Side) DataReceived(data []byte) {
	if s.other != nil {
		_, _ = s.other.Transport.Write(data)
	}
}

// ReadConnectionLost passes on that this peer will send nothing more. Closing
// waits for the producer, which has ended with it.
func (s *Side) ReadConnectionLost() {
	if s.other != nil {
		_ = s.other.Transport.UnregisterProducer()
		_ = s.other.Transport.LoseWriteConnection()
	}
}

// WriteConnectionLost does nothing: the peer still sends.
func (s *Side) WriteConnectionLost() {}

// ConnectionLost ends the other side too: in order where this one did, else with
// a reset, since the stream is not whole and its reader must not take it for so.
func (s *Side) ConnectionLost(reason wirehost.Reason) {
	o := s.other
	if o == nil {
		return
	}
	s.Unlink()
	_ = o.Transport.UnregisterProducer()
	if reason == wirehost.Done {
		_ = o.Transport.LoseConnection()
	} else {
		_ = o.Transport.AbortConnection()
	}
}

// Pairs finds the other side again in a new version. The factory has one.
type Pairs struct {
	waiting map[int32]Protocol // restored, by handle, before the other side was
}

// AppendState appends the side's part of a protocol's state to b.
func (s *Side) AppendState(b []byte) []byte {
	handle := int32(0)
	if s.other != nil {
		handle = s.other.Transport.Handle()
	}
	return binary.AppendUvarint(b, uint64(handle))
}

var errState = errors.New("state of a relay: found no handle") // never changed

// Load is LoadState, of a state whose layout must have the number wanted.
func (s *Side) Load(p Protocol, pairs *Pairs, version, wanted int32, saved []byte) (rest []byte, err error) {
	if err := state.Version(version, wanted); err != nil {
		return nil, err
	}
	return s.LoadState(p, pairs, saved)
}

// LoadState is AppendState's inverse, for the RestoreState of p, which embeds s.
// It returns what follows.
func (s *Side) LoadState(p Protocol, pairs *Pairs, b []byte) (rest []byte, err error) {
	handle, n := binary.Uvarint(b)
	if n <= 0 || handle > 1<<31-1 {
		return nil, errState
	}
	if handle == 0 {
		return b[n:], nil
	}
	if o, ok := pairs.waiting[int32(handle)]; ok {
		delete(pairs.waiting, int32(handle))
		Link(p, o)
		return b[n:], errors.Join(s.restoreProducer(), s.other.restoreProducer())
	}
	if pairs.waiting == nil {
		pairs.waiting = map[int32]Protocol{}
	}
	pairs.waiting[s.Transport.Handle()] = p
	return b[n:], nil
}

// restoreProducer takes the old version's registration over, where there is one.
func (s *Side) restoreProducer() error {
	state, err := s.Transport.State()
	if err != nil || state&wirehost.StateProducer == 0 {
		return nil // still connecting, or not joined
	}
	return s.Transport.RestoreProducer(s.other.Transport.Reading())
}
