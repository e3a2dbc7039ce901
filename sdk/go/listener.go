package wirehost

// Listener is a socket on which the plugin listens, by the number that the server knows it
// by: the same in the next version, which may have it from a saved state. 0 is none.
type Listener int32

// Listen listens at a text endpoint: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH. HOST is
// an address, or nothing, which is all; of port 0 the listener's host tells which it is. The
// factory's BuildProtocol gets the connections, and Transport.Listener says which of them are
// this one's. An error is a Status, ErrNotAllowed where the configuration does not allow the
// endpoint and ErrBusy where it is in use.
func (r *Reactor) Listen(endpoint string) (Listener, error) {
	n := r.guest.host.Listen(endpoint)
	if n < 0 {
		return 0, Status(n)
	}
	return Listener(n), nil
}

// StopListening closes a listener. Its connections go on.
func (r *Reactor) StopListening(l Listener) error {
	return statusError(r.guest.host.StopListening(int32(l)))
}

// ListenerHost is a listener's endpoint as text.
func (r *Reactor) ListenerHost(l Listener) (string, error) {
	b, err := grow(128, func(buf []byte) int32 { return r.guest.host.GetHost(int32(l), buf) })
	return string(b), err
}

// Listener is where the connection came to; 0 is a configured listener, or none.
func (t *Transport) Listener() (Listener, error) {
	n := t.guest.host.Listener(t.conn)
	if n < 0 {
		return 0, Status(n)
	}
	return Listener(n), nil
}
