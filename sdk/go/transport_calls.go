package wirehost

import (
	"math"
	"time"
)

// LoseConnection stops reading, sends what was written, waits for a registered
// producer to be unregistered, and closes. The server aborts (Timeout) when that
// makes no progress for its close_timeout. ConnectionLost comes later, never
// from inside this call.
func (t *Transport) LoseConnection() error {
	if err := t.flushed(); err != nil {
		return err
	}
	err := statusError(t.guest.host.LoseConnection(t.conn))
	if err == nil {
		t.is |= isClosing
	}
	return err
}

// LoseWriteConnection sends what was written, waits for a registered producer,
// and closes the writing side; the peer's bytes still come.
func (t *Transport) LoseWriteConnection() error {
	if err := t.flushed(); err != nil {
		return err
	}
	err := statusError(t.guest.host.LoseWriteConnection(t.conn))
	if err == nil {
		t.is |= isHalf
	}
	return err
}

// AbortConnection drops the output and resets the connection.
func (t *Transport) AbortConnection() error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	t.release()
	err := statusError(t.guest.host.AbortConnection(t.conn))
	if err == nil {
		t.is |= isClosing | isAborted
	}
	return err
}

// flushed sends what was gathered, so that the order is kept.
func (t *Transport) flushed() error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return t.send(nil)
}

// PauseProducing stops reading from the peer.
func (t *Transport) PauseProducing() error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(t.guest.host.PauseProducing(t.conn))
}

// ResumeProducing starts reading again.
func (t *Transport) ResumeProducing() error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(t.guest.host.ResumeProducing(t.conn))
}

// RegisterProducer makes p the producer of the output (see Producer); streaming
// is true for a push producer. One at a time: a second is ErrBusy.
func (t *Transport) RegisterProducer(p Producer, streaming bool) error {
	if err := t.flushed(); err != nil {
		return err
	}
	err := statusError(t.guest.host.RegisterProducer(t.conn, streaming))
	if err == nil {
		t.producer = p
	}
	return err
}

// UnregisterProducer lets closing go on that waits for the producer.
func (t *Transport) UnregisterProducer() error {
	if err := t.flushed(); err != nil {
		return err
	}
	t.producer = nil
	return statusError(t.guest.host.UnregisterProducer(t.conn))
}

// RestoreProducer is for RestoreState: the registration moved with the
// connection, and p takes the old version's producer's place.
// ErrInvalid means that none was registered.
func (t *Transport) RestoreProducer(p Producer) error {
	s, err := t.State()
	if err != nil {
		return err
	}
	if s&StateProducer == 0 {
		return ErrInvalid
	}
	t.producer = p
	return nil
}

// State is the connection's state as the server has it.
func (t *Transport) State() (State, error) {
	if t.is&isEnded != 0 {
		return 0, ErrNoConnection
	}
	n := t.guest.host.State(t.conn)
	return State(max(n, 0)), statusError(n)
}

// SetTimeout closes the connection (Timeout) after d without a byte read or
// written; 0 ends that.
func (t *Transport) SetTimeout(d time.Duration) error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(t.guest.host.SetTimeout(t.conn, milliseconds(d)))
}

// SetTCPNoDelay says whether small pieces are sent at once. They are, unless
// it is turned off.
func (t *Transport) SetTCPNoDelay(on bool) error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(t.guest.host.SetTCPNoDelay(t.conn, on))
}

// SetTCPKeepAlive says whether the system probes an idle peer. It does not,
// unless it is turned on.
func (t *Transport) SetTCPKeepAlive(on bool) error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(t.guest.host.SetTCPKeepAlive(t.conn, on))
}

// StartTLS begins TLS as its server, with the listener's certificate. What was
// written before goes out in plain text first. HandshakeCompleted follows, and
// no byte before it.
//
// What came in plain text behind the command that asks for TLS is no part of
// the encrypted session (RFC 3207, section 4.2): a framer drops all that it
// holds, the rest of what it is just taking apart too. What a protocol itself
// has kept, or is just getting in DataReceived, is its own to forget. Without an
// error only: the connection goes on in plain text otherwise.
func (t *Transport) StartTLS() error {
	return t.startTLS(func() int32 { return t.guest.host.StartTLS(t.conn) })
}

// HandOver gives an accepted connection to another plugin, with bytes that are its first: what
// this one has of the stream and has no use for. What was written before is sent. When the
// running callback has returned ConnectionLost comes, with HandedOver; until then nothing
// else that is asked of the transport happens. An error is a Status, ErrNotAllowed where the
// configuration's allow.hand_over does not name the plugin; the connection goes on then.
func (t *Transport) HandOver(plugin string, first []byte) error {
	if err := t.flushed(); err != nil {
		return err
	}
	err := statusError(t.guest.host.HandOver(t.conn, plugin, first))
	if err == nil {
		t.is |= isClosing | isAborted
	}
	return err
}

// StartTLSClient begins TLS as its client, on a connection that was made or accepted: the
// server must show a certificate for name, which the plugin's allow.ca verifies, or the
// system's roots. HandshakeCompleted follows, or ConnectionLost with TLSFailure. For the
// rest it is as StartTLS.
func (t *Transport) StartTLSClient(name string) error {
	return t.startTLS(func() int32 { return t.guest.host.StartTLSClient(t.conn, name) })
}

func (t *Transport) startTLS(call func() int32) error {
	if err := t.flushed(); err != nil {
		return err
	}
	err := statusError(call())
	if err == nil {
		t.is |= isShaking
		if f, ok := t.protocol.(interface{ startedTLS() }); ok {
			f.startedTLS()
		}
	}
	return err
}

// Peer is the remote endpoint as text, such as tcp://127.0.0.1:5000.
func (t *Transport) Peer() (string, error) { return t.text(t.guest.host.GetPeer) }

// Host is our endpoint as text.
func (t *Transport) Host() (string, error) { return t.text(t.guest.host.GetHost) }

// ReasonText is, inside ConnectionLost and ClientConnectionFailed, the reason in
// the server's words; elsewhere ErrInvalid.
func (t *Transport) ReasonText() (string, error) { return t.text(t.guest.host.Reason) }

// NegotiatedProtocol is what ALPN agreed on; "" is nothing.
func (t *Transport) NegotiatedProtocol() (string, error) {
	return t.text(t.guest.host.NegotiatedProtocol)
}

// PeerCertificate is the DER form of the peer's certificate (the leaf).
func (t *Transport) PeerCertificate() ([]byte, error) {
	return t.bytes(t.guest.host.GetPeerCertificate)
}

func (t *Transport) text(get func(int32, []byte) int32) (string, error) {
	b, err := t.bytes(get)
	return string(b), err
}

// bytes asks a getter, a second time if the first buffer was too small.
func (t *Transport) bytes(get func(int32, []byte) int32) ([]byte, error) {
	if t.is&isEnded != 0 {
		return nil, ErrNoConnection
	}
	return grow(128, func(buf []byte) int32 { return get(t.conn, buf) })
}

// grow calls get with larger buffers until the answer fits.
func grow(size int, get func([]byte) int32) ([]byte, error) {
	for {
		buf := make([]byte, size)
		n := get(buf)
		if n < 0 {
			return nil, Status(n)
		}
		if int(n) <= size {
			return buf[:n], nil
		}
		size = int(n)
	}
}

// milliseconds rounds d up, so that nothing is due too early. What does not fit
// becomes -1, which the server refuses as ErrInvalid.
func milliseconds(d time.Duration) int32 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	if d < 0 || ms > math.MaxInt32 {
		return -1
	}
	return int32(ms)
}
