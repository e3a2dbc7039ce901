package reactor

import (
	"bytes"
	"crypto/tls"
	"fmt"
)

func (c *connection) startServerTLS(cfg *tls.Config) {
	if !c.loop.r.cfg.LibraryTLS {
		cfg = c.listener.keyed(cfg)
	}
	c.startHandshake(false, func(p *pipe) *tls.Conn { return tls.Server(p, cfg) })
	c.setupBy = c.loop.sys.Now() + c.handshakeTimeout()
}

// startClientTLS takes over cfg.
func (c *connection) startClientTLS(cfg *tls.Config) {
	// Tickets come behind the handshake: who wants them leaves the connection to crypto/tls.
	keyed := !c.loop.r.cfg.LibraryTLS && cfg.ClientSessionCache == nil
	c.startHandshake(true, func(p *pipe) *tls.Conn {
		if keyed {
			p.noteKeys(cfg)
		}
		return tls.Client(p, cfg)
	})
}

// startHandshake has a handshake begin, on a goroutine that ends with it: a client's at
// once, a server's when the client has sent something.
func (c *connection) startHandshake(client bool, over func(*pipe) *tls.Conn) {
	p := &pipe{c: c}
	p.cond.L = &p.mu
	t := &tlsConn{pipe: p, client: client}
	c.tls = t
	p.start = func() {
		defer c.loop.r.handshaking.rest()
		growStack(false)
		done := p.handshake(over(p), client) // end ends it: its pipe does
		err := c.loop.post(call{fn: func() { t.completeHandshake(c, done) }, share: c.share})
		if err != nil { // a loop that has ended has told the protocol already
			done.layer.wipe()
		}
	}
	if len(c.proxied) > 0 {
		p.in, c.proxied = c.proxied, nil
	}
	if client {
		p.queueStep()
	} else {
		p.goOn()
	}
}

// growStack has a new goroutine's stack grow in one go to what a handshake takes of it:
// grown on the way, it is copied again and again with all that is on it. now is false: the
// room is asked for and not used, since clearing it would cost as much.
//
//go:noinline
func growStack(now bool) (sum byte) {
	if now {
		var room [handshakeStack]byte
		for i := range room {
			sum += room[i] + byte(i)
			room[i/2] = sum
		}
	}
	return sum
}

const handshakeStack = 12 << 10

// handshaken is how a handshake went.
type handshaken struct {
	err   error
	facts tlsFacts
	layer tlsLayer
}

// handshake runs a handshake, on a goroutine of its own.
func (p *pipe) handshake(conn *tls.Conn, client bool) handshaken {
	h := handshaken{err: conn.Handshake(), layer: &library{conn: conn, pipe: p}}
	if h.err != nil {
		p.keys.wipe()
		return h
	}
	s := conn.ConnectionState()
	h.facts = factsOf(s)
	if p.keys == nil {
		return h
	}
	rec, err := p.takeOver(s, client)
	switch {
	case err != nil:
		h.err = err
		p.refuse(conn)
	case rec != nil:
		h.layer = &records{conn: rec}
	}
	return h
}

// completeHandshake is the handshake's end, on the loop.
func (t *tlsConn) completeHandshake(c *connection, h handshaken) {
	if c.tls != t || c.ended() {
		h.layer.wipe()
		return
	}
	p := t.pipe
	p.flushHandshake()
	p.in = bytes.Clone(p.in) // what is behind the handshake is short, where there is any
	c.loop.giveFlight(p.out)
	c.loop.giveFlight(p.room)
	p.out, p.room = nil, nil
	if h.err != nil {
		c.endWith(TLSFailure, fmt.Errorf("TLS handshake: %w", h.err))
		return
	}
	t.layer, t.facts = h.layer, h.facts
	if r, ok := t.layer.(*records); ok {
		r.rest, t.pipe = p.in, nil // the handshake's goroutine was the other one that had it
		r.use(c.loop)
	} else {
		p.setUp()
	}
	c.unhold()
	c.setupBy = 0
	c.loop.current = c
	if c.client != nil {
		c.completeConnect()
	}
	c.flags |= flagTellUp
	for _, chunk := range p.plain.chunks { // head is 0: nothing was dropped from it
		t.seal(c, chunk)
		t.queue(c)
	}
	p.plain.clear(c.loop)
	c.flush()
	c.settleLater()
	c.takeTurnLater() // bytes may have come with the last flight
	c.loop.settle()
	c.loop.current = nil
}
