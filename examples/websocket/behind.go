package main

import (
	"slices"

	"github.com/wirehost/wirehost/examples/internal/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// behind is the connection to the plugin behind.
type behind struct {
	relay.Side
	factory *factory
	returned
}

// returned is its part of its state.
type returned struct {
	Received []byte // the beginning of what is to be sent as one
	Message  message
}

func (p *behind) client() *client {
	c, _ := p.Other().(*client)
	return c
}

func (p *behind) ConnectionMade() {
	if c := p.client(); c == nil || p.Join() != nil {
		_ = p.Transport.AbortConnection()
	} else {
		c.begin()
	}
}

// ClientConnectionFailed tells the client, unless it was the client that went.
func (p *behind) ClientConnectionFailed(reason wirehost.Reason) {
	c := p.client()
	if c == nil {
		return
	}
	p.Unlink()
	if reason == wirehost.Refused || reason == wirehost.Timeout {
		c.failed(codeLater, "found nobody behind who takes connections now")
		return
	}
	text, _ := p.Transport.ReasonText()
	_ = p.Reactor().Logf(wirehost.LevelError, "connect to %s: %s", p.factory.Behind, text)
	c.failed(codeInternal, "found nobody behind")
}

// DataReceived makes messages of what comes back.
func (p *behind) DataReceived(data []byte) {
	c, own := p.client(), len(p.Received) > 0
	if own {
		p.Received = append(p.Received, data...)
		data = p.Received
	}
	for c != nil && len(data) > 0 {
		first, piece, n, ok := p.factory.Messages.next(data, p.factory.Most)
		if ok && n == 0 {
			break
		}
		if !ok || !p.send(first, piece) {
			c.abort(codeInternal, "found no message, or one that is too long, behind")
			return
		}
		data = data[n:]
	}
	switch {
	case len(data) == 0:
		p.Received = nil
	case !own || len(data) < len(p.Received):
		p.Received = slices.Clone(data)
	}
}

// send sends a frame, and tells whether it may.
func (p *behind) send(first byte, piece []byte) bool {
	if !p.Message.begin(first&^last) || !p.Message.take(first, piece) {
		return false
	}
	p.client().frame(first, piece)
	return true
}

// finish sends what has no end yet as the last line, and tells whether no message is left that is
// cut short.
func (p *behind) finish() bool {
	rest := p.Received
	if p.Received = nil; p.factory.Messages == asLines && len(rest) > 0 {
		return p.send(last|opText, toText(rest))
	}
	return len(rest) == 0 && p.Message.Opcode == 0
}

// ReadConnectionLost says that nothing more comes back: the client is told so, and what it still
// sends goes on to here up to its own Close frame. Where that came first, the end is near.
func (p *behind) ReadConnectionLost() {
	switch c := p.client(); {
	case c == nil:
	case !p.finish():
		c.abort(codeInternal, "found a message that is cut short behind")
	case c.Stage == open:
		c.tell(codeNormal, "")
		c.within(p.factory.patience())
	}
}

func (p *behind) ConnectionLost(reason wirehost.Reason) {
	switch c := p.client(); {
	case c == nil:
	case reason != wirehost.Done || !p.finish():
		c.end(codeInternal, "")
	default:
		c.end(codeNormal, "")
	}
}
