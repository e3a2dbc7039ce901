package wirehost

// ConnectionMade is the first callback of a connection.
func (g *guest) ConnectionMade(conn int32) {
	t := g.find(conn)
	t.is &^= isPending
	t.protocol.base().Connected = true
	t.protocol.ConnectionMade()
	if t.connector != nil {
		t.connector.connectionMade(t)
	}
	g.leave()
}

// DataReceived delivers bytes; data is the server's again when it returns.
func (g *guest) DataReceived(conn int32, data []byte) {
	g.find(conn).protocol.DataReceived(data)
	g.leave()
}

// ConnectionLost is the last callback of a connection.
func (g *guest) ConnectionLost(conn int32, reason Reason) {
	t := g.find(conn)
	t.is |= isLost
	t.protocol.ConnectionLost(reason)
	t.protocol.base().Connected = false
	g.end(t, reason)
}

// ClientConnectionFailed is the only callback of a connection that could not
// be made.
func (g *guest) ClientConnectionFailed(conn int32, reason Reason) {
	t := g.find(conn)
	t.is |= isLost
	if p, ok := t.protocol.(ClientProtocol); ok {
		p.ClientConnectionFailed(reason)
	}
	g.end(t, reason)
}

func (g *guest) end(t *Transport, reason Reason) {
	if m, ok := t.protocol.(timeoutMixin); ok {
		m.stopTimeout()
	}
	g.leave()
	g.detach(t)
	if t.connector != nil {
		t.connector.connectionEnded(t, reason)
		g.leave()
	}
}

// ReadConnectionLost tells that the peer closed its writing side. A protocol
// that is not HalfCloseable flushes and closes.
func (g *guest) ReadConnectionLost(conn int32) {
	t := g.find(conn)
	if p, ok := t.protocol.(HalfCloseable); ok {
		p.ReadConnectionLost()
	} else if err := t.LoseConnection(); err != nil {
		g.report(LevelWarn, "close of connection "+itoa(conn)+" after its peer's: "+err.Error())
	}
	g.leave()
}

// WriteConnectionLost tells that our writing side is closed.
func (g *guest) WriteConnectionLost(conn int32) {
	if p, ok := g.find(conn).protocol.(HalfCloseable); ok {
		p.WriteConnectionLost()
	}
	g.leave()
}

// HandshakeCompleted tells that TLS is up.
func (g *guest) HandshakeCompleted(conn int32) {
	t := g.find(conn)
	t.is &^= isShaking
	if p, ok := t.protocol.(HandshakeListener); ok {
		p.HandshakeCompleted()
	}
	g.leave()
}

// A call to a producer that crossed with its UnregisterProducer is no news.

// PauseProducing asks the connection's producer to wait.
func (g *guest) PauseProducing(conn int32) {
	if p := g.find(conn).producer; p != nil {
		p.PauseProducing()
	}
	g.leave()
}

// ResumeProducing asks the connection's producer for more.
func (g *guest) ResumeProducing(conn int32) {
	if p := g.find(conn).producer; p != nil {
		p.ResumeProducing()
	}
	g.leave()
}

// StopProducing tells the connection's producer to end.
func (g *guest) StopProducing(conn int32) {
	t := g.find(conn)
	if p := t.producer; p != nil {
		t.producer = nil
		p.StopProducing()
	}
	g.leave()
}

// DelayedCall runs the call whose timer is due.
func (g *guest) DelayedCall(timer int32) {
	c := g.timers[timer]
	if c == nil {
		g.report(LevelWarn,
			"timer "+itoa(timer)+" is due and has no call: RestoreState did not claim it with RestoreCall")
		return
	}
	delete(g.timers, timer)
	c.done = true
	c.call()
	g.leave()
}
