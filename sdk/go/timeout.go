package wirehost

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// timeoutMixin is what TimeoutMixin adds to a Protocol.
type timeoutMixin interface {
	wireTimeout(outermost Protocol)
	stopTimeout()
}

// TimeoutMixin closes a connection on which too little happens (Twisted's
// TimeoutMixin): embed it beside Base or a framer, call SetTimeout in
// ConnectionMade and ResetTimeout wherever something happened that counts.
// Where any byte counts, Transport.SetTimeout does it without a call.
//
// It ends by itself when the connection does. Where the protocol saves its state,
// AppendTimeout and LoadTimeout take it to the new version.
type TimeoutMixin struct {
	period time.Duration
	call   *DelayedCall
	outer  interface {
		base() *Base
		TimeoutConnection()
	}
}

func (m *TimeoutMixin) wireTimeout(outermost Protocol) {
	m.outer = outermost.(interface {
		base() *Base
		TimeoutConnection()
	})
}

func (m *TimeoutMixin) stopTimeout() {
	if m.call != nil && m.call.Active() {
		if err := m.call.Cancel(); err != nil {
			m.outer.base().Transport.guest.report(LevelWarn, "cancel of the time-out: "+err.Error())
		}
	}
	m.call = nil
}

// SetTimeout calls TimeoutConnection after d without a ResetTimeout; 0 ends
// that. An error is CallLater's.
func (m *TimeoutMixin) SetTimeout(d time.Duration) error {
	m.period = d
	if d <= 0 {
		m.stopTimeout()
		return nil
	}
	if m.call != nil && m.call.Active() {
		return m.call.Reset(d)
	}
	call, err := m.outer.base().Reactor().CallLater(d, m.due)
	m.call = call
	return err
}

func (m *TimeoutMixin) due() {
	m.call = nil
	m.outer.TimeoutConnection()
}

// ResetTimeout begins the time anew, where there is one.
func (m *TimeoutMixin) ResetTimeout() error {
	if m.call == nil || !m.call.Active() {
		return nil
	}
	return m.call.Reset(m.period)
}

// TimeoutConnection closes the connection; a protocol may have its own.
func (m *TimeoutMixin) TimeoutConnection() {
	t := m.outer.base().Transport
	if err := t.LoseConnection(); err != nil {
		t.guest.report(LevelWarn, "close after the time-out: "+err.Error())
	}
}

// AppendTimeout appends the time-out's part of a protocol's state to b.
func (m *TimeoutMixin) AppendTimeout(b []byte) []byte {
	var handle int32
	if m.call != nil && m.call.Active() {
		handle = m.call.Handle()
	}
	b = binary.AppendUvarint(b, uint64(handle))
	return binary.AppendVarint(b, int64(m.period))
}

var errTimeoutState = errors.New("state of the time-out: cut short, or no handle")

// LoadTimeout is AppendTimeout's inverse, for RestoreState: what is left of the
// time goes on. It returns what follows.
func (m *TimeoutMixin) LoadTimeout(b []byte) (rest []byte, err error) {
	handle, n := binary.Uvarint(b)
	if n <= 0 || handle > math.MaxInt32 {
		return nil, errTimeoutState
	}
	period, size := binary.Varint(b[n:])
	if size <= 0 {
		return nil, errTimeoutState
	}
	m.period = time.Duration(period)
	if handle > 0 {
		m.call = m.outer.base().Reactor().RestoreCall(int32(handle), m.due)
	}
	return b[n+size:], nil
}
