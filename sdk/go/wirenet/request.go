package wirenet

import (
	"errors"
	"net"
	"os"
	"time"
)

// Request is how a protocol over datagrams asks: it sends, and sends again, until it is
// answered.
type Request struct {
	Conn    net.PacketConn // such as one of ListenPacket, that nobody else reads from; the caller closes it
	Peer    net.Addr       // who is asked
	Timeout time.Duration  // of each try, for an answer; 0: a second
	Tries   int            // 0: five
}

// Send sends p to Peer, until answers says that a datagram of Peer's is the answer, which
// it reads into buf and returns, as a part of that. What is no answer, and what others send,
// is dropped: a message that comes twice is not answered twice. When all tries are over the
// error is an os.ErrDeadlineExceeded. Conn's deadline for reading stays behind.
func (r Request) Send(p, buf []byte, answers func(m []byte) bool) (m []byte, err error) {
	if r.Timeout <= 0 {
		r.Timeout = time.Second
	}
	if r.Tries <= 0 {
		r.Tries = 5
	}
	for range r.Tries {
		if _, err := r.Conn.WriteTo(p, r.Peer); err != nil {
			return nil, err
		}
		if err := r.Conn.SetReadDeadline(time.Now().Add(r.Timeout)); err != nil {
			return nil, err
		}
		if m, err = r.answer(buf, answers); !errors.Is(err, os.ErrDeadlineExceeded) {
			return m, err
		}
	}
	return nil, err
}

// answer waits for it until the deadline.
func (r Request) answer(buf []byte, answers func([]byte) bool) ([]byte, error) {
	for {
		n, from, err := r.Conn.ReadFrom(buf)
		if err != nil {
			return nil, err
		}
		if from.String() == r.Peer.String() && answers(buf[:n]) {
			return buf[:n], nil
		}
	}
}
