package reactor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Protocol is one connection's protocol, in the mould of Twisted's
// twisted.internet.protocol.Protocol. The event loop that owns the connection
// is the only caller, and it never calls a Protocol from inside one of that
// loop's own Transport calls: what a call causes is told after the callback
// that made it has returned.
type Protocol interface {
	// ConnectionMade comes first and exactly once, before any byte is read.
	// The transport stays valid until ConnectionLost has returned.
	ConnectionMade(t Transport)

	// DataReceived gets 1 to 64 KiB of the stream, cut anywhere. The loop owns
	// p: it is valid until DataReceived returns. None comes after
	// LoseConnection or AbortConnection was called.
	DataReceived(p []byte)

	// ConnectionLost comes exactly once and last, unless the end of the reactor
	// takes longer than a second. err says more about a reason other than Done and
	// may be nil. Inside it the transport's getters still answer; its writes are
	// dropped, and its other calls do nothing.
	ConnectionLost(reason Reason, err error)
}

// BufferedProtocol is a Protocol that says where its bytes are to be read to.
type BufferedProtocol interface {
	// ReceiveBuffer is asked before each read; the read takes at most 64 KiB
	// of it, and DataReceived gets a part of it that starts at its first byte.
	// The buffer is the protocol's; the loop keeps no reference to it. It must
	// not be empty.
	ReceiveBuffer() []byte
}

// Lander is a BufferedProtocol whose buffer may be written to while another protocol's
// callback runs: what that one writes to a connection of ConnectInside is then copied once.
type Lander interface {
	// LandingBuffer is ReceiveBuffer, or nil where that is in use or not there now. The bytes
	// are delivered before the loop asks for it again, or anything else for ReceiveBuffer.
	LandingBuffer() []byte
}

// HalfCloseable is a Protocol that goes on after the peer has closed its
// writing side (Twisted's IHalfCloseableProtocol). For any other Protocol that
// event flushes the pending output and closes the connection.
type HalfCloseable interface {
	// ReadConnectionLost says that the peer will send nothing more.
	ReadConnectionLost()
	// WriteConnectionLost says that our writing side is closed.
	WriteConnectionLost()
}

// HandshakeListener is a Protocol that wants to know when TLS is up
// (Twisted's IHandshakeListener). ConnectionMade came before it.
type HandshakeListener interface {
	HandshakeCompleted()
}

// ClientProtocol is the protocol of an outgoing connection. Exactly one of
// ConnectionMade and ConnectionFailed is called; after ConnectionFailed nothing
// else comes.
type ClientProtocol interface {
	Protocol
	// ConnectionFailed says why the connection was not made; err says more, and may
	// be nil.
	ConnectionFailed(reason Reason, err error)
}

// Producer is told when to make output (Twisted's IPushProducer and
// IPullProducer). All its methods are called on the connection's loop after the
// callback that caused them.
type Producer interface {
	// PauseProducing says that the queued output has passed the high water
	// mark. Only streaming (push) producers get it.
	PauseProducing()
	// ResumeProducing says, to a push producer, that the output has fallen to
	// the low water mark; to a pull producer, once per emptying, that it may
	// write its next piece.
	ResumeProducing()
	// StopProducing says that the connection is gone.
	StopProducing()
}

// Factory makes the Protocol of each accepted connection.
type Factory interface {
	// BuildProtocol runs on the loop that will own the connection. Of t only
	// the getters may be called in it. An error refuses the connection: it is
	// closed, and no callback follows. An error that is a Later has it wait.
	BuildProtocol(t Transport) (Protocol, error)
}

// Later is the error of a BuildProtocol that has no protocol yet, such as one that
// is being made on another goroutine. It is asked in the factory's place, once,
// in the turn after Transport.BuildAgain was called, and may be late again.
//
// Until then the connection waits as it is: nothing is read, and what its peer has
// sent comes when there is a protocol, its end too. A reset ends it, and so does
// the listener's HandshakeTimeout, which bounds all of a connection's waits.
type Later interface {
	error
	Factory
	// Gone says, on the loop, that the connection has ended: BuildProtocol is not
	// asked any more. Nothing of the transport may be called in it.
	Gone()
}

// Transport is one connection as its Protocol sees it. Every method may be
// called only on the connection's loop (inside a callback, a delayed call or a
// function given to Loop.CallFromThread), and none of them blocks.
type Transport interface {
	// Write queues p in order and returns the number of bytes now queued. It
	// has taken what it needs of p when it returns. After LoseConnection,
	// LoseWriteConnection or the loss it drops p and returns 0, nil. Past the
	// hard cap it returns ErrOverLimit and the connection is aborted with
	// reason OverLimit.
	Write(p []byte) (queued int, err error)
	// WriteSequence is Write for several pieces, all or none.
	WriteSequence(pieces [][]byte) (queued int, err error)

	// LoseConnection stops reading, flushes what is queued, waits for a
	// registered producer and closes. A flush that makes no progress for the
	// close timeout aborts with reason Timeout.
	LoseConnection()
	// LoseWriteConnection flushes, waits for a registered producer, then shuts
	// down our writing side (on TLS after the handshake, with close_notify).
	LoseWriteConnection()
	// AbortConnection drops the queued output and resets the connection; on
	// Unix sockets it is a plain close.
	AbortConnection()
	// Abort is AbortConnection with the reason and error that ConnectionLost
	// is to get.
	Abort(reason Reason, err error)

	// PauseProducing and ResumeProducing stop and start reading. They are
	// apart from the automatic pause while output is above high water.
	PauseProducing()
	ResumeProducing()

	// RegisterProducer returns ErrBusy where there is one already, and
	// ErrNotConnected before ConnectionMade and once the loss is being told, from
	// StopProducing on: it could not be told to stop.
	RegisterProducer(p Producer, streaming bool) error
	UnregisterProducer()

	State() State
	// SetTimeout closes the connection, with reason Timeout, after d without a
	// byte read or written; 0 clears.
	SetTimeout(d time.Duration)
	// Peer and Host are endpoints as text, such as tcp://127.0.0.1:5000.
	Peer() string
	Host() string
	// SetTCPNoDelay and SetTCPKeepAlive return ErrNotSupported on transports
	// that are not TCP. NODELAY is on at the start.
	SetTCPNoDelay(on bool) error
	SetTCPKeepAlive(on bool) error

	// StartTLS turns an accepted connection into a TLS one with its listener's
	// certificate: ErrNotSupported without one, ErrBusy when TLS is on. What has
	// come and is not delivered belongs to the handshake: the next DataReceived
	// follows HandshakeCompleted, and is of the encrypted session.
	StartTLS() error
	// StartTLSClient turns a connection, whoever made it, into a TLS one whose client is
	// this side; cfg, which is its own from then on, has the server's name and the roots
	// that verify it. ErrBusy when TLS is on, ErrNotSupported once the writing side closes.
	// What was written goes in plain text first; for the rest it is as StartTLS. A
	// handshake that fails ends the connection with TLSFailure.
	StartTLSClient(cfg *tls.Config) error
	// PeerCertificate is the DER of the peer's leaf certificate, or nil.
	PeerCertificate() []byte
	// NegotiatedProtocol is the one that ALPN chose, or "".
	NegotiatedProtocol() string

	// HandOver gives an accepted connection to another protocol, which gets first as its
	// first bytes and then what follows. This one gets ConnectionLost with HandedOver behind
	// the running callback; until then the transport does nothing more for it. What is
	// queued stays queued; a pause and SetTimeout end. A factory that refuses has the
	// connection closed. On an error nothing has changed: ErrNotSupported of an outgoing
	// connection, ErrNotConnected of one that closes or is over, ErrBusy while a producer is
	// registered or a TLS handshake runs, ErrOverLimit where more than MaxUnread bytes are
	// not delivered.
	HandOver(to Destination, first []byte) error

	// BuildAgain has the protocol of a connection built for which BuildProtocol
	// has returned a Later. It does nothing for any other.
	BuildAgain()

	// Loop is the event loop that owns the connection. Any goroutine may call it.
	Loop() *Loop
	// Stats counts the connection's bytes.
	Stats() ConnStats
}

// ConnStats are a connection's counters, in bytes, and where it is from.
type ConnStats struct {
	In, Out  uint64        // read from and written to the socket
	Queued   int           // taken by Write and not yet written
	Opened   time.Duration // on the loop's clock
	Active   time.Duration // when the last byte was read or written
	Listener *Listener     // that has accepted it; nil = it is outgoing
	Depth    int           // ConnectOptions.Depth of who made it
	Link     uint64        // of a connection inside the process, the same at both ends; 0 = it is none
}

// State is a set of bits that describe a connection.
type State uint32

// The bits of a State.
const (
	StatePaused      State = 1 << iota // reading is paused by the protocol
	StatePeerClosed                    // the peer has closed its writing side, and we have read to its end
	StateWriteClosed                   // our writing side is closed, or will be after the flush
	StateClosing                       // LoseConnection was called
	StateProducer                      // a producer is registered
	StateTLS                           // TLS is on, or its handshake runs
	StateOutgoing                      // we connected, not the peer
	StateCanStartTLS                   // StartTLS is possible now
)

// Reason says why a connection ended or could not be made. Protocols from elsewhere get
// its number, which never changes.
type Reason int32

// The reasons. Refused, NoSuchHost and NotAllowed are of connections that could not be made.
const (
	Done           Reason = iota // clean close by either side
	Lost                         // I/O error
	Aborted                      // by us
	Timeout                      // idle, connect, handshake, write, close or FIN timeout
	TLSFailure                   // handshake or record error
	ShuttingDown                 // the reactor stops
	Replaced                     // the protocol was replaced
	OverLimit                    // over a limit
	ProtocolFailed               // the protocol can't go on
	Refused                      // connect: refused or unreachable
	NoSuchHost                   // connect: the name does not resolve
	NotAllowed                   // connect: the address is not allowed
	HandedOver                   // the protocol has given it to another, by HandOver
)

var reasonTexts = [...]string{
	Done: "connection done", Lost: "connection lost", Aborted: "connection aborted",
	Timeout: "timed out", TLSFailure: "TLS failure", ShuttingDown: "shutting down",
	Replaced: "replaced", OverLimit: "over a limit", ProtocolFailed: "protocol failed",
	Refused: "connection refused", NoSuchHost: "no such host", NotAllowed: "address not allowed",
	HandedOver: "handed over",
}

// String is what a log calls the reason, such as "connection done".
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonTexts) {
		return fmt.Sprintf("reason %d", int32(r))
	}
	return reasonTexts[r]
}

var (
	// ErrOverLimit is returned by a write past the hard cap.
	ErrOverLimit = errors.New("reactor: queued output is over the limit")
	// ErrBusy is returned where the thing asked for is so already.
	ErrBusy = errors.New("reactor: already so")
	// ErrNotConnected is returned by calls about a connection that is not made
	// yet, or gone.
	ErrNotConnected = errors.New("reactor: not connected")
	// ErrNotSupported is returned by calls that this transport can't do.
	ErrNotSupported = errors.New("reactor: not supported on this transport")
)
