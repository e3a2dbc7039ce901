package wirehost

import "time"

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
// It ends by itself when the connection does.
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
	call, err := m.outer.base().Reactor().CallLater(d, func() {
		m.call = nil
		m.outer.TimeoutConnection()
	})
	m.call = call
	return err
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
