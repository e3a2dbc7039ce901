package reactor

import "sync"

// handshaking counts the TLS handshakes that compute: those that wait for their peers are
// not among them. Any goroutine.
type handshaking struct {
	mu    sync.Mutex
	none  sync.Cond // n is 0
	n     int
	steps uint64
}

// begin is a handshake's beginning, or that what it has waited for is there.
func (h *handshaking) begin() {
	h.mu.Lock()
	h.n++
	h.steps++
	h.mu.Unlock()
}

// rest is the end of what begin has begun.
func (h *handshaking) rest() {
	h.mu.Lock()
	if h.n--; h.n == 0 {
		h.none.Broadcast()
	}
	h.mu.Unlock()
}

// AwaitHandshakes waits until no TLS handshake computes off the loops - what they have done
// has been given to their loops then, and they wait for their peers - and tells how often
// one has begun to. It is for tests over sockets in memory. Any goroutine but a loop's.
func (r *Reactor) AwaitHandshakes() (steps uint64) {
	h := &r.handshaking
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.n > 0 {
		h.none.Wait()
	}
	return h.steps
}
