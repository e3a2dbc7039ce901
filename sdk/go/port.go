package wirehost

// Port is a listener that the plugin has opened (Twisted's IListeningPort).
type Port struct {
	guest   *guest
	handle  int32
	factory Factory
}

// Listen listens at a text endpoint: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH. HOST is
// an address, or nothing, which is all; of port 0 the Port's Host tells which it is. What comes
// there comes to this instance, and f builds its protocols, of which nothing else is asked. An
// error is a Status, ErrNotAllowed where the configuration's allow.listen does not have the
// endpoint and ErrBusy where it is in use.
//
// In a reload the listener moves by itself. A new version that listens at the same endpoint in
// StartFactory gets it; one that learns of it from the factory's state takes it over with
// RestorePort.
func (r *Reactor) Listen(endpoint string, f Factory) (*Port, error) {
	n := r.guest.host.Listen(endpoint)
	if n < 0 {
		return nil, Status(n)
	}
	return r.RestorePort(n, f), nil
}

// RestorePort is for the Factory's RestoreState, which comes before its connections': a listener
// moves under its handle, and from here on f builds the protocols of what has come and comes
// there. What comes to one that nobody has taken over goes to the registered Factory.
func (r *Reactor) RestorePort(handle int32, f Factory) *Port {
	p := &Port{guest: r.guest, handle: handle, factory: f}
	table, ok := r.guest.ports.(portTable)
	if !ok {
		table = portTable{}
		r.guest.ports = table
	}
	table[handle] = p
	return p
}

// Handle is the number that the server knows the listener by, for SaveState.
func (p *Port) Handle() int32 { return p.handle }

// Host is where it listens, as text, with the port that it got.
func (p *Port) Host() (string, error) {
	b, err := grow(128, func(buf []byte) int32 { return p.guest.host.GetHost(p.handle, buf) })
	return string(b), err
}

// StopListening closes the listener. Its connections go on.
func (p *Port) StopListening() error {
	err := statusError(p.guest.host.StopListening(p.handle))
	if table := p.guest.ports.(portTable); (err == nil || err == ErrNoConnection) && table[p.handle] == p {
		delete(table, p.handle)
	}
	return err
}

// Listener is the handle of the Port that the connection came to; 0 is a listener of the
// configuration, or none.
func (t *Transport) Listener() (handle int32, err error) {
	n := t.guest.host.Listener(t.conn)
	return max(n, 0), statusError(n)
}

// ports is a portTable, for who listens.
type ports interface {
	factoryOf(t *Transport) Factory
}

// portTable has the ports by their handles.
type portTable map[int32]*Port

func (l portTable) factoryOf(t *Transport) Factory {
	if p := l[t.guest.host.Listener(t.conn)]; p != nil {
		return p.factory
	}
	return t.guest.factory
}
