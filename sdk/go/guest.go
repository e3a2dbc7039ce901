package wirehost

// guest is the Guest: the exports call it in a guest, and package sdktest natively.
type guest struct {
	host    host
	factory Factory
	reactor Reactor

	conns  map[int32]*Transport
	recent *Transport // the last one looked up; nobody's where it has ended
	timers map[int32]*DelayedCall

	// Output is gathered in out, for current. Where a callback writes to another, what is
	// there is parked with its own.
	current *Transport // whose output out is; it stays when that is sent
	out     []byte
	parked  []*Transport // in the order of their first write, before current
	spare   [][]byte     // empty buffers

	saving bool // in SaveState: nothing may be written

	// What only some plugins have use for is behind interfaces, so that the linker leaves it
	// out of the others.
	sockets sockets
	ports   ports

	receive []byte // the registered buffer
	restore []byte // what RestoreBuffer gave, until RestoreState returns
	saved   []byte // what SaveState returned last: the server reads it afterwards
	prefix  []byte
}

func newGuest(h host, f Factory) *guest {
	g := &guest{
		host: h, factory: f,
		conns: map[int32]*Transport{}, timers: map[int32]*DelayedCall{}, recent: &nobody,
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
	p := g.build(t)
	if p == nil {
		return 1
	}
	g.attach(t, p)
	g.leave()
	return 0
}

// build asks the factory of where an accepted connection has come to for its protocol.
func (g *guest) build(t *Transport) Protocol {
	f := g.factory
	if g.ports != nil {
		f = g.ports.factoryOf(t)
	}
	p := f.BuildProtocol(t)
	if p != nil && p.base().Factory == nil {
		p.base().Factory = f
	}
	return p
}

// attach joins a transport and its protocol.
func (g *guest) attach(t *Transport, p Protocol) {
	t.protocol = p
	b := p.base()
	b.Transport, b.self = t, p
	if b.Factory == nil {
		b.Factory = g.factory
	}
	if f, ok := p.(framer); ok {
		f.wire(p)
	}
	if m, ok := p.(timeoutMixin); ok {
		m.wireTimeout(p)
	}
	g.conns[t.conn] = t
}

// nobody is no connection: a handle is never 0.
var nobody Transport

// detach forgets an ended connection.
func (g *guest) detach(t *Transport) {
	t.is |= isEnded
	t.release()
	delete(g.conns, t.conn)
	if g.recent == t {
		g.recent = &nobody
	}
	if g.current == t {
		g.current = nil
	}
}

// find looks up a connection that the server named.
func (g *guest) find(conn int32) *Transport {
	if t := g.recent; t.conn == conn {
		return t
	}
	return g.lookUp(conn)
}

func (g *guest) lookUp(conn int32) *Transport {
	t := g.conns[conn]
	if t == nil {
		panic("wirehost: the server named a connection that this instance does not have")
	}
	g.recent = t
	return t
}

// gathers tells whether n bytes for t can simply be appended to out: the usual case, in
// which a callback writes to the connection that the last one wrote to.
func (g *guest) gathers(t *Transport, n int) bool {
	return g.current == t && t.is&notPlain == 0 && !g.saving && n < largeWrite && len(g.out)+n <= gatherMost
}

// turnTo makes out the buffer of t.
func (g *guest) turnTo(t *Transport) {
	c := g.current
	if c == t {
		return
	}
	if len(g.out) > 0 {
		c.out, g.out = g.out, nil
		if !c.parked {
			c.parked = true
			g.parked = append(g.parked, c)
		}
	}
	if t.out != nil {
		g.giveBack(g.out)
		t.out, g.out = nil, t.out
	} else if n := len(g.spare); g.out == nil && n > 0 {
		g.out, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	g.current = t
}

// giveBack keeps an empty buffer for the next connection that is parked.
func (g *guest) giveBack(b []byte) {
	if b != nil && len(g.spare) < sparesMost {
		g.spare = append(g.spare, b[:0])
	}
}

// leave ends a callback: it hands over what the callback wrote.
func (g *guest) leave() {
	if len(g.parked) > 0 {
		g.leaveParked()
	}
	if len(g.out) == 0 {
		return
	}
	t := g.current
	n := g.host.Write(t.conn, g.out)
	g.out = g.out[:0]
	if err := t.sent(n); err != nil {
		g.failed(t, err)
	}
}

func (g *guest) leaveParked() {
	for i, t := range g.parked {
		g.parked[i] = nil
		t.parked = false
		if err := t.send(nil); err != nil {
			g.failed(t, err)
		}
	}
	g.parked = g.parked[:0]
}

// failed keeps what came of a sending at the end of a callback, for the next write to tell.
func (g *guest) failed(t *Transport, err error) {
	t.err, t.is = err, t.is|hasFailed
	g.report(LevelWarn, "write on connection "+itoa(t.conn)+": "+err.Error())
}

// report logs a line of the SDK's own. Where even that fails there is nobody
// left to tell.
func (g *guest) report(level Level, text string) { _ = g.host.Emit(int32(level), text) }
