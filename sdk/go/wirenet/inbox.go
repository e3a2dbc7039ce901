package wirenet

import (
	"sync"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// inbox is what has come to a connection or a socket and its goroutines have not read.
type inbox struct {
	readable sync.Cond // in, closed, or what else ends a wait for bytes has changed
	in       []byte    // received, not yet read: bytes, or whole records
	borrowed bool      // in lies in the callback's data
	closed   bool      // nobody reads any more
	paused   bool      // reading; the callbacks' goroutine's own
}

// hungry tells whether a pause of reading may end.
func (b *inbox) hungry(s *Server) bool { return len(b.in) <= s.options.ReadBuffer/2 }

// take is what is left of in behind what was read. mu is held.
func (b *inbox) take(rest []byte) {
	if len(rest) == 0 {
		rest = nil // who is idle holds no buffer
	}
	b.in = rest
}

// received lets goroutines read data, which is the callback's. What they leave is kept, and
// stops the reading where it is much.
func (b *inbox) received(s *Server, t *wirehost.Transport, data []byte) {
	s.mu.Lock()
	switch {
	case b.closed:
	case len(b.in) > 0:
		b.in = append(b.in, data...)
	default:
		b.in, b.borrowed = data, true
	}
	b.readable.Broadcast()
	s.mu.Unlock()
	s.turnActive()

	s.mu.Lock()
	if b.borrowed {
		b.borrowed = false
		b.in = append([]byte(nil), b.in...)
	}
	if len(b.in) >= s.options.ReadBuffer && !b.paused && !b.closed {
		b.paused = true
		s.told("pause", t.PauseProducing())
	}
	s.mu.Unlock()
}

// resume ends a pause of reading, where the goroutines have read enough. mu is held.
func (b *inbox) resume(s *Server, t *wirehost.Transport) {
	if b.paused && !b.closed && b.hungry(s) {
		b.paused = false
		s.told("resume", t.ResumeProducing())
	}
}
