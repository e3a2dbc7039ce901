package wirehost

// guest is the Guest: the exports call it in a guest, and package sdktest natively.
type guest struct {
	host    host
	factory Factory
	reactor Reactor

	conns  map[int32]*Transport
	recent *Transport // the last one looked up
	timers map[int32]*DelayedCall

	dirty []*Transport // with gathered output, in the order of their first write
	spare [][]byte     // empty buffers for gathered output

	saving bool // in SaveState: nothing may be written

	receive []byte // the registered buffer
	restore []byte // what RestoreBuffer gave, until RestoreState returns
	saved   []byte // what SaveState returned last: the server reads it afterwards
	prefix  []byte
}

func newGuest(h host, f Factory) *guest {
	g := &guest{
		host: h, factory: f,
		conns: map[int32]*Transport{}, timers: map[int32]*DelayedCall{},
	}
	g.reactor.guest = g
	return g
}

// ReceiveBuffer is the buffer that the server puts incoming bytes into: as large as
// one DataReceived can fill.
func (g *guest) ReceiveBuffer() []byte {
	if g.receive == nil {
		g.receive = make([]byte, maxReceive)
	}
	return g.receive
}

// LogPrefix is the factory's name for log lines; nil declines.
func (g *guest) LogPrefix() []byte {
	if f, ok := g.factory.(LogPrefixer); ok {
		g.prefix = []byte(f.LogPrefix())
	}
	return g.prefix
}

// InstanceMade gives the factory a seed of 32 bytes, all that the buffer of this SDK
// is ever given.
func (g *guest) InstanceMade(seed []byte) {
	if f, ok := g.factory.(InstanceListener); ok {
		f.InstanceMade([32]byte(seed))
	}
}

// StartFactory starts the factory: 0, or 1 if it refuses.
func (g *guest) StartFactory() int32 {
	if g.factory == nil {
		g.report(LevelError, "the plugin registered no factory: call wirehost.Register in init")
		return 1
	}
	if f, ok := g.factory.(Starter); ok {
		if err := f.StartFactory(&g.reactor); err != nil {
			g.report(LevelError, err.Error())
			return 1
		}
	}
	g.leave()
	return 0
}

// StopFactory stops the factory.
func (g *guest) StopFactory() {
	if f, ok := g.factory.(Stopper); ok {
		f.StopFactory()
	}
	g.leave()
}

// BuildProtocol makes the protocol of an accepted connection: 0, or 1 if the
// factory refuses.
func (g *guest) BuildProtocol(conn int32) int32 {
	t := &Transport{guest: g, conn: conn}
	p := g.factory.BuildProtocol(t)
	if p == nil {
		return 1
	}
	g.attach(t, p)
	g.leave()
	return 0
}

// attach joins a transport and its protocol.
func (g *guest) attach(t *Transport, p Protocol) {
	t.protocol = p
	b := p.base()
	b.Transport, b.Factory, b.self = t, g.factory, p
	if f, ok := p.(framer); ok {
		f.wire(p)
	}
	if m, ok := p.(timeoutMixin); ok {
		m.wireTimeout(p)
	}
	g.conns[t.conn] = t
}

// detach forgets an ended connection.
func (g *guest) detach(t *Transport) {
	t.ended = true
	t.release()
	delete(g.conns, t.conn)
	if g.recent == t {
		g.recent = nil
	}
}

// find looks up a connection that the server named.
func (g *guest) find(conn int32) *Transport {
	if t := g.recent; t != nil && t.conn == conn {
		return t
	}
	t := g.conns[conn]
	if t == nil {
		panic("wirehost: the server named a connection that this instance does not have")
	}
	g.recent = t
	return t
}

// leave ends a callback: it hands over what the callback wrote.
func (g *guest) leave() {
	for i := 0; i < len(g.dirty); i++ {
		t := g.dirty[i]
		g.dirty[i] = nil
		t.dirty = false
		if t.err = t.send(nil); t.err != nil {
			g.report(LevelWarn, "write on connection "+itoa(t.conn)+": "+t.err.Error())
		}
	}
	g.dirty = g.dirty[:0]
}

// report logs a line of the SDK's own. Where even that fails there is nobody
// left to tell.
func (g *guest) report(level Level, text string) { _ = g.host.Emit(int32(level), text) }
