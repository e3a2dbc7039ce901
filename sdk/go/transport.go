package wirehost

import "strconv"

// Sizes in bytes that decide how output is gathered.
const (
	largeWrite = 4 << 10  // sent at once, from where it lies, instead of copied
	gatherMost = 64 << 10 // gathered before it is sent even so
	sparesMost = 16       // empty buffers that are kept
)

// Transport is a connection, as its protocol writes to it and closes it. It
// belongs to the instance's one thread. When ConnectionLost or
// ClientConnectionFailed has returned it has ended, and every method answers
// ErrNoConnection.
//
// Methods return a Status as error where the server refuses. Nothing blocks.
type Transport struct {
	guest    *guest
	conn     int32
	protocol Protocol
	producer Producer

	connector connector // that made it, or nil

	out   []byte // gathered, not yet sent, where another is guest.current
	err   error  // of the last sending at the end of a callback
	queue int    // bytes that the server held after the last sending; of a socket: datagrams dropped

	is      condition
	records uint16 // in out, of a socket
	parked  bool   // listed in guest.parked
}

// condition is what keeps a Transport from simply gathering what is written: a word, so
// that a write looks once.
type condition uint16

const (
	isPending condition = 1 << iota // outgoing, and not made yet
	isClosing                       // LoseConnection or AbortConnection was called
	isHalf                          // LoseWriteConnection was called
	isAborted                       // AbortConnection was called
	isShaking                       // from StartTLS until HandshakeCompleted
	isLost                          // ConnectionLost or ClientConnectionFailed has begun
	isEnded                         // and has returned
	hasFailed                       // err is to be told
	isSocket                        // of datagrams

	notPlain = ^isShaking
)

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// Handle is the number that the server knows the connection by.
func (t *Transport) Handle() int32 { return t.conn }

// Reactor is the instance's Reactor.
func (t *Transport) Reactor() *Reactor { return &t.guest.reactor }

// Disconnecting tells whether the connection is ending: LoseConnection or
// AbortConnection was called, or it is lost. Nothing more is delivered then.
func (t *Transport) Disconnecting() bool { return t.is&(isClosing|isLost) != 0 }

// Write queues p, in order, and never blocks. Small pieces are copied, and sent
// when the callback returns; p may be used again at once. After
// LoseConnection and LoseWriteConnection (but while a producer is registered,
// for which they wait), after AbortConnection and in ConnectionLost, p is
// dropped without an error.
//
// An error is a Status: that of this write where it was sent at once, else what
// came of the writes of an earlier callback. ErrTooBig means that the
// connection held more than the server's hard limit and is being aborted
// (OverLimit). Who has much to send looks at Flush's count, or registers a
// Producer.
func (t *Transport) Write(p []byte) (int, error) {
	if g := t.guest; g.gathers(t, len(p)) {
		g.out = append(g.out, p...)
		return len(p), nil
	}
	return t.writeOther(p)
}

// writeOther is Write where not all is plain.
func (t *Transport) writeOther(p []byte) (int, error) {
	if err := t.takeError(); err != nil {
		return 0, err
	}
	if t.drops() || len(p) == 0 {
		return len(p), nil
	}
	g := t.guest
	g.turnTo(t)
	if len(p) < largeWrite && len(g.out)+len(p) <= gatherMost {
		g.out = append(g.out, p...)
		return len(p), nil
	}
	if err := t.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeTwo writes a and b.
func (t *Transport) writeTwo(a, b []byte) error {
	if g := t.guest; g.gathers(t, len(a)+len(b)) {
		g.out = append(g.out, a...)
		g.out = append(g.out, b...)
		return nil
	}
	if _, err := t.Write(a); err != nil {
		return err
	}
	_, err := t.Write(b)
	return err
}

// WriteString is Write of a string.
func (t *Transport) WriteString(s string) (int, error) {
	if g := t.guest; g.gathers(t, len(s)) {
		g.out = append(g.out, s...)
		return len(s), nil
	}
	return t.writeOther([]byte(s))
}

// WriteSequence writes the parts one behind the other, as one Write would of
// their concatenation (Twisted's writeSequence).
func (t *Transport) WriteSequence(parts ...[]byte) error {
	if err := t.takeError(); err != nil {
		return err
	}
	total := len(t.gathered())
	for _, p := range parts {
		total += len(p)
	}
	if total < largeWrite || t.drops() {
		for _, p := range parts {
			if _, err := t.Write(p); err != nil {
				return err
			}
		}
		return nil
	}
	if err := t.send(nil); err != nil {
		return err
	}
	for len(parts) > 0 {
		n := min(len(parts), maxSequence)
		if err := t.sent(t.guest.host.WriteSequence(t.conn, parts[:n])); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// Flush sends what was gathered without waiting for the callback's end, and
// returns how many bytes the connection now has queued.
func (t *Transport) Flush() (queued int, err error) {
	if err := t.takeError(); err != nil {
		return 0, err
	}
	if t.drops() {
		return 0, nil
	}
	if len(t.gathered()) == 0 {
		err = t.sent(t.guest.host.Write(t.conn, nil))
	} else {
		err = t.send(nil)
	}
	return t.queue, err
}

// drops tells whether writes are dropped. Closing waits for a producer, so what
// is written while there is one still counts.
func (t *Transport) drops() bool {
	return t.is&(isLost|isAborted) != 0 || t.is&(isClosing|isHalf) != 0 && t.producer == nil
}

// takeError is the error to answer a write with, once.
func (t *Transport) takeError() error {
	if t.is&isSocket != 0 {
		return ErrNotSupported
	}
	return t.takeAnyError()
}

func (t *Transport) takeAnyError() error {
	switch {
	case t.is&isEnded != 0, t.is&(isPending|isLost) == isPending:
		return ErrNoConnection
	case t.guest.saving:
		return ErrNotNow
	}
	err := t.err
	t.err, t.is = nil, t.is&^hasFailed
	return err
}

// gathered is what was written and is not sent yet.
func (t *Transport) gathered() []byte {
	if g := t.guest; g.current == t {
		return g.out
	}
	return t.out
}

// send sends what was gathered, and p behind it.
func (t *Transport) send(p []byte) error {
	if t.is&isSocket != 0 {
		return t.guest.sockets.send(t)
	}
	var n int32
	out := t.gathered()
	switch {
	case len(out) == 0 && len(p) == 0:
		return nil
	case len(p) == 0:
		n = t.guest.host.Write(t.conn, out)
	case len(out) == 0:
		n = t.guest.host.Write(t.conn, p)
	default:
		n = t.guest.host.WriteSequence(t.conn, [][]byte{out, p})
	}
	t.release()
	return t.sent(n)
}

// sent takes what a write returned.
func (t *Transport) sent(n int32) error {
	t.queue = max(0, int(n))
	return statusError(n)
}

// release drops what was gathered, and gives the buffer back.
func (t *Transport) release() {
	g := t.guest
	if g.current == t {
		g.out = g.out[:0]
		return
	}
	g.giveBack(t.out)
	t.out, t.records = nil, 0
}
