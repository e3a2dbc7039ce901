package wirehost

import "errors"

// StateVersion numbers the layout that SaveState writes.
func (g *guest) StateVersion() int32 {
	if f, ok := g.factory.(StateVersioner); ok {
		return f.StateVersion()
	}
	return 1
}

// SaveState encodes a connection's state, or with conn 0 the factory's. The
// server reads the bytes before the next call. false declines.
func (g *guest) SaveState(conn int32) ([]byte, bool) {
	var owner any = g.factory
	if conn != 0 {
		t := g.conns[conn]
		if t == nil { // a listener, which has no state
			return nil, false
		}
		owner = t.protocol
	}
	s, ok := owner.(StateSaver)
	if !ok {
		return nil, false
	}
	g.saving = true
	g.saved, ok = s.SaveState()
	g.saving = false
	return g.saved, ok
}

// RestoreBuffer gives room for a state of n bytes; nil refuses.
func (g *guest) RestoreBuffer(n uint32) []byte {
	g.restore = nil
	if n > 0 && n <= 1<<30 {
		g.restore = make([]byte, n)
	}
	return g.restore
}

// RestoreState takes what SaveState of the version that is replaced gave: 0, or
// 1 if it is refused, with the reason in the log.
func (g *guest) RestoreState(conn, version int32, state []byte) int32 {
	err := g.restoreOne(conn, version, state)
	g.restore = nil
	g.leave()
	if err == nil {
		return 0
	}
	g.report(LevelError, err.Error())
	if t := g.conns[conn]; t != nil {
		g.detach(t)
	}
	return 1
}

func (g *guest) restoreOne(conn, version int32, state []byte) error {
	if conn == 0 {
		s, ok := g.factory.(StateSaver)
		if !ok {
			return errors.New("restore of the factory's state: " + typeName(g.factory) + " has no RestoreState")
		}
		if err := s.RestoreState(version, state); err != nil {
			return &fault{"restore of the factory's state, version " + itoa(version), err}
		}
		return nil
	}
	t := &Transport{guest: g, conn: conn}
	made, p, err := g.rebuild(t)
	if err != nil {
		return &fault{"restore of connection " + itoa(conn), err}
	}
	g.attach(t, p)
	p.base().Connected = made
	s, ok := p.(StateSaver)
	if !ok {
		return errors.New("restore of connection " + itoa(conn) + ": " + typeName(p) + " has no RestoreState")
	}
	if err := s.RestoreState(version, state); err != nil {
		return &fault{"restore of connection " + itoa(conn) + ", state version " + itoa(version), err}
	}
	return nil
}

// rebuild makes the protocol of a connection that was made earlier. One that is
// still connecting answers ErrNoConnection to getters: then made is false.
func (g *guest) rebuild(t *Transport) (made bool, p Protocol, err error) {
	s, err := t.State()
	if made = err == nil; !made && err != ErrNoConnection {
		return made, nil, &fault{"its state", err}
	}
	if !made {
		t.is |= isPending
	}
	if s&StateClosing != 0 {
		t.is |= isClosing
	}
	if s&StateWriteClosed != 0 {
		t.is |= isHalf
	}
	socket := false
	if g.sockets != nil {
		p, socket = g.sockets.rebuild(t)
	}
	if socket {
	} else if made && s&StateOutgoing == 0 {
		p = g.build(t)
	} else {
		f, ok := g.factory.(ClientBuilder)
		if !ok {
			return made, nil, errors.New("outgoing, and " + typeName(g.factory) + " has no BuildClientProtocol")
		}
		if c := f.BuildClientProtocol(t); c != nil {
			p = c
		}
	}
	if p == nil {
		return made, nil, errors.New(typeName(g.factory) + " built no protocol")
	}
	return made, p, nil
}
