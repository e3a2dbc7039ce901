// Package pace keeps a protocol that answers requests from answering faster than
// its peer reads.
//
// The server stops reading from a peer that does not take its output. But one
// segment of 64 KiB may hold thousands of requests already, each for a megabyte.
// So the protocol stops in the middle of what it has received, too, and goes on
// when its output is gone.
package pace

import wirehost "github.com/wirehost/wirehost/sdk/go"

// Bytes of output.
const (
	piece = 32 << 10 // written between two looks at what is queued
	high  = 64 << 10 // queued, so that it is time to stop
)

// Framer is what the SDK's framers have to stop and to go on with.
type Framer interface {
	PauseProducing() error
	ResumeProducing() error
}

// Pace belongs to one connection. Init it in BuildProtocol; call Wrote after each
// answer, or write it with Pace's own methods and call Answered; Restore in
// RestoreState.
type Pace struct {
	framer Framer
	t      *wirehost.Transport

	answer   int  // bytes of the answer that is being written
	wrote    int  // bytes since the last look
	stopped  bool // the framer is
	producer bool // registered: the connection's output asks for more when it is gone
}

// Init gives p the protocol's framer and transport.
func (p *Pace) Init(f Framer, t *wirehost.Transport) { p.framer, p.t = f, t }

// Write writes a part of an answer. Why it could not be, ConnectionLost tells.
func (p *Pace) Write(b []byte) {
	p.answer += len(b)
	_, _ = p.t.Write(b)
}

// WriteString is Write of a text.
func (p *Pace) WriteString(text string) {
	p.answer += len(text)
	_, _ = p.t.WriteString(text)
}

// Answered ends an answer: see Wrote.
func (p *Pace) Answered() {
	n := p.answer
	p.answer = 0
	p.Wrote(n)
}

// Wrote counts an answer of n bytes, and stops the framer where the output has
// become long. Errors are the transport's own end, of which ConnectionLost
// tells.
func (p *Pace) Wrote(n int) {
	if p.wrote += n; p.wrote < piece || p.stopped || p.t.Disconnecting() {
		return
	}
	if !p.producer {
		if queued, err := p.t.Flush(); err != nil || queued < high {
			p.wrote = 0
			return
		}
		if err := p.t.RegisterProducer(p, false); err != nil {
			return
		}
		p.producer = true
	}
	p.stopped = true
	_ = p.framer.PauseProducing()
}

// ResumeProducing answers the next requests of those that are waiting. The
// server calls it when the output is gone.
func (p *Pace) ResumeProducing() {
	p.wrote, p.stopped = 0, false
	_ = p.framer.ResumeProducing()
	if !p.stopped {
		p.producer = false
		_ = p.t.UnregisterProducer()
	}
}

// PauseProducing is never called: a pull producer waits by itself.
func (p *Pace) PauseProducing() {}

// StopProducing says that the connection is gone.
func (p *Pace) StopProducing() { p.producer = false }

// Restore takes up the old version's Pace: the registration moved with the
// connection, the framer's pause with the framer's state.
func (p *Pace) Restore() error {
	s, err := p.t.State()
	if err != nil || s&wirehost.StateProducer == 0 {
		return err
	}
	p.stopped, p.producer = true, true
	return p.t.RestoreProducer(p)
}
