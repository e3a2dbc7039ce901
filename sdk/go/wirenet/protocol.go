package wirenet

import (
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// protocol is a connection, as the server sees it. Each callback leaves word with
// the Conn and then lets the goroutines run.
type protocol struct {
	wirehost.Base
	conn *Conn
}

// ConnectionMade gives the connection to Accept, or to the Dial that asked for
// it.
func (p *protocol) ConnectionMade() {
	c, t := p.conn, p.Transport
	local, err := t.Host()
	remote, err2 := t.Peer()
	s := c.server
	s.told("address of a connection", err)
	s.told("address of a peer", err2)
	s.mu.Lock()
	c.transport, c.local, c.remote = t, address(local), address(remote)
	s.open++
	if c.dial == nil {
		c.listener.take(c)
	} else {
		if c.dial.err != nil { // given up, and too late to cancel
			c.close()
		}
		c.dial = nil
		c.readable.Broadcast()
	}
	s.mu.Unlock()
	s.turnActive()
}

// DataReceived lets goroutines read data.
func (p *protocol) DataReceived(data []byte) { p.conn.received(p.conn.server, p.Transport, data) }

// ReadConnectionLost is the end of what can be read.
func (p *protocol) ReadConnectionLost() {
	c := p.conn
	c.server.mu.Lock()
	c.eof = true
	c.readable.Broadcast()
	c.server.mu.Unlock()
	c.server.turnActive()
}

// WriteConnectionLost is no news: CloseWrite wanted it.
func (p *protocol) WriteConnectionLost() {}

// ConnectionLost wakes who still waits.
func (p *protocol) ConnectionLost(reason wirehost.Reason) {
	s := p.conn.server
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
	p.lost(reason)
}

// ClientConnectionFailed wakes the Dial.
func (p *protocol) ClientConnectionFailed(reason wirehost.Reason) { p.lost(reason) }

func (p *protocol) lost(reason wirehost.Reason) {
	c := p.conn
	s := c.server
	text, err := p.Transport.ReasonText()
	s.told("reason of a connection's end", err)
	s.mu.Lock()
	if reason == wirehost.Done && c.dial == nil {
		c.eof = true
	} else {
		c.fault = &LostError{reason, text}
	}
	c.ended, c.out = true, nil
	c.settleDeadlines()
	s.mu.Unlock()
	s.turnActive()
}

// output is the connection's pull producer, while the server holds enough of
// it.
type output struct{ conn *Conn }

// PauseProducing is never called for a pull producer.
func (o output) PauseProducing() {}

// ResumeProducing lets the connection hand over more: its output has emptied.
func (o output) ResumeProducing() {
	s := o.conn.server
	s.mu.Lock()
	o.conn.full = false
	o.conn.post()
	s.mu.Unlock()
	s.turnActive()
}

// StopProducing is followed by ConnectionLost.
func (o output) StopProducing() {
	s := o.conn.server
	s.mu.Lock()
	o.conn.producer = false
	s.mu.Unlock()
}
