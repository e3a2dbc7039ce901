package wirehost

import "errors"

// ClientService keeps one outgoing connection up and has others wait for it (Twisted's
// ClientService): it begins anew with the first delay once a connection was made. Set the
// fields of the ReconnectingClientFactory that it is, and Start it.
type ClientService struct {
	ReconnectingClientFactory
	waiting []waiter
}

// waiter is who wants the connection. It gives up with its last failure; 0 has no last.
type waiter struct {
	failures int
	f        func(p Protocol, err error)
}

// ErrServiceStopped is what those get who wait when a ClientService was stopped, or gave up.
var ErrServiceStopped = errors.New("the client service was stopped")

// Start makes the first attempt, as ReconnectingClientFactory does.
func (s *ClientService) Start(r *Reactor) error {
	s.service = s
	return s.ReconnectingClientFactory.Start(r)
}

// Adopt is ReconnectingClientFactory's.
func (s *ClientService) Adopt(t *Transport) {
	s.service = s
	s.ReconnectingClientFactory.Adopt(t)
}

// WhenConnected calls f once with the protocol of the connection: at once where there is
// one, else when it is made. With failures above 0 f gets the error of the last attempt after
// so many that have failed; with 0 it waits for as long as the service runs.
func (s *ClientService) WhenConnected(failures int, f func(p Protocol, err error)) {
	switch t := s.current; {
	case t != nil && t.protocol.base().Connected && !t.Disconnecting():
		f(t.protocol, nil)
	case s.stopped:
		f(nil, ErrServiceStopped)
	default:
		s.waiting = append(s.waiting, waiter{failures, f})
	}
}

// Stop ends the trying, closes the connection, and tells those who still wait. An error is
// the transport's.
func (s *ClientService) Stop() error {
	err := s.StopTrying()
	if t := s.current; t != nil && !t.Disconnecting() {
		err = errors.Join(err, t.LoseConnection())
	}
	s.end()
	return err
}

// end tells all who wait that they do so in vain.
func (s *ClientService) end() { s.tell(nil, ErrServiceStopped, func(*waiter) bool { return true }) }

// connected is told when the protocol knows that it is connected.
func (s *ClientService) connected(p Protocol) {
	stopped := s.stopped
	s.ResetDelay()
	s.stopped = stopped
	s.tell(p, nil, func(*waiter) bool { return true })
}

// failed is told of an attempt that has.
func (s *ClientService) failed(why Reason) {
	s.tell(nil, &fault{"connect " + s.Endpoint, errors.New(why.String())}, func(w *waiter) bool {
		w.failures--
		return w.failures == 0
	})
}

// tell calls those of the waiting who get it. One of them may wait again.
func (s *ClientService) tell(p Protocol, err error, gets func(*waiter) bool) {
	waiting := s.waiting
	s.waiting = nil
	var told []waiter
	for n := range waiting {
		if w := waiting[n]; gets(&w) {
			told = append(told, w)
		} else {
			s.waiting = append(s.waiting, w)
		}
	}
	for _, w := range told {
		w.f(p, err)
	}
}
