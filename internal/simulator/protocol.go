package simulator

import (
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// protocol is a protocol that does random things and notices whatever is not as
// promised. Its embedders add the optional interfaces.
type protocol struct {
	w        *world
	id       int // of the connection; 0 before it is made
	serial   int
	dress    reactor.ClientProtocol // what the reactor calls
	t        reactor.Transport
	loop     *reactor.Loop
	owner    *owner // whose time it takes; nil = nobody's
	peer     *peer
	outgoing bool
	half     bool
	unix     bool

	made, lost, failed bool
	reason             reactor.Reason
	lostAt             time.Duration
	connectBy          time.Duration

	taken    int // bytes that the transport took
	received int
	limit    int // bytes that it will write

	paused, losing, losingWrite bool
	late                        bool // a producer was registered while it was closing
	ended                       bool // Abort was called
	overLimit, panicked         bool
	stopped                     bool // its producer was, which is right before the loss
	readLost, writeLost         bool
	producer                    *producer
	buf                         []byte

	outSeen   uint64        // Stats().Out when last looked at
	progress  time.Duration // when it was last seen to grow, or something began
	idle      time.Duration
	closing   bool          // it was seen to close
	idleAt    time.Duration // when a byte was last seen to move, or may have
	doubted   uint64        // bytes that had moved, and 1, when the loop may have looked whether the peer takes any
	moved     time.Duration // when the output was last seen to move, or began to wait
	active    time.Duration // when a byte was last seen to move for certain
	pausedAt  time.Duration
	pausedSum time.Duration // before that, since the last byte
	readSeen  time.Duration // when the peer had last read, when it was last looked at
	lookBy    time.Duration // when the loop will look; 0 = it has
	looked    time.Duration // when it may have seen the peer's last read
	frozen    bool
	frozenAt  time.Duration
	finQuiet  time.Duration // when a FIN was first seen behind unread bytes, paused
}

func (p *protocol) String() string {
	s := fmt.Sprintf("proto %d", p.serial)
	if p.id != 0 {
		s += fmt.Sprintf(" (connection %d)", p.id)
	}
	if p.lost {
		s += fmt.Sprintf(" [lost: %v]", p.reason)
	}
	return s
}

func (p *protocol) live() bool { return p.made && !p.lost }

// aborted tells whether its output may have been dropped.
func (p *protocol) aborted() bool { return p.ended || p.lost && p.reason != reactor.Done }

type factory struct{ w *world }

var errRefused = errors.New("simulated refusal")

func (f factory) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	w := f.w
	p := w.newProto()
	p.t, p.loop, p.owner = t, t.Loop(), w.ownerOf(t)
	name := t.Peer()
	w.tracef("%v: build for %s", p, name)
	if w.current != nil || w.inTransport > 0 {
		w.violated("%v: BuildProtocol inside another call", p)
	}
	if w.c.oneIn(w.style.late) {
		return nil, newLatecomer(f, p)
	}
	if w.c.oneIn(w.style.refuse) {
		if w.c.oneIn(4) {
			panic(simulatedPanic)
		}
		return nil, errRefused
	}
	p.id = w.id(name)
	p.idle, p.idleAt = w.idle, w.sys.Now()
	w.protos = append(w.protos, p)
	if q := w.byID[p.id]; q != nil {
		q.join(p)
	} else {
		w.violated("%v: there is no peer %s", p, name)
	}
	return p.dressed(), nil
}

func (w *world) newProto() *protocol {
	w.serial++
	return &protocol{w: w, serial: w.serial, unix: w.ep.Scheme == "unix", limit: w.c.size(w.style.total)}
}

// dressed is p with the optional interfaces of its kind.
func (p *protocol) dressed() reactor.ClientProtocol {
	p.dress = p.ofKind()
	return p.dress
}

func (p *protocol) ofKind() reactor.ClientProtocol {
	kind := p.w.style.kind
	if kind == 4 {
		kind = p.w.c.n(4)
	}
	switch kind {
	case 1:
		p.half = true
		return half{p}
	case 2:
		return buffered{p}
	case 3:
		p.half = true
		return halfBuffered{p}
	}
	return p
}

type half struct{ *protocol }

func (p half) ReadConnectionLost()  { p.readConnectionLost() }
func (p half) WriteConnectionLost() { p.writeConnectionLost() }

type buffered struct{ *protocol }

func (p buffered) ReceiveBuffer() []byte { return p.receiveBuffer() }

type halfBuffered struct{ *protocol }

func (p halfBuffered) ReadConnectionLost()   { p.readConnectionLost() }
func (p halfBuffered) WriteConnectionLost()  { p.writeConnectionLost() }
func (p halfBuffered) ReceiveBuffer() []byte { return p.receiveBuffer() }

// callback runs f as a callback of p: none may come inside another, nor inside a
// call to the reactor.
func (p *protocol) callback(f func()) {
	w := p.w
	if w.current != nil || w.inTransport > 0 {
		w.violated("%v: a callback inside one of %v (%d calls to the reactor run)", p, w.current, w.inTransport)
	}
	if p.frozen {
		w.violated("%v: a callback while it is frozen", p)
	}
	w.current = p
	p.owner.begins(p)
	defer func() { w.current = nil }()
	defer p.owner.ends(p)
	p.look()
	f()
	p.look()
}

// told is a callback after ConnectionMade and before ConnectionLost.
func (p *protocol) told(what string, f func()) {
	p.w.tracef("%v: %s", p, what)
	if !p.live() {
		p.w.violated("%v: %s, on a connection that is not there", p, what)
		return
	}
	p.callback(f)
}

// transport runs f, a call to the reactor.
func (p *protocol) transport(f func()) {
	p.w.inTransport++
	defer func() { p.w.inTransport-- }()
	f()
}

// look notes progress, and holds the counters against the cap.
func (p *protocol) look() {
	if p.t == nil || p.lost {
		return
	}
	st := p.t.Stats()
	if q := p.peer; q != nil && q.readAt != p.readSeen {
		p.readSeen, p.lookBy = q.readAt, p.w.sys.Now()+min(p.w.cfg.CloseTimeout, p.w.cfg.WriteTimeout)/4
	}
	if st.Out != p.outSeen {
		now := p.w.sys.Now()
		p.outSeen, p.progress, p.idleAt, p.moved = st.Out, now, now, now
		if p.t.State()&reactor.StateClosing == 0 { // else it may have been idle before
			p.active = now
		}
	}
	if p.t.State()&reactor.StateClosing != 0 && !p.closing {
		p.closing, p.progress, p.moved = true, p.w.sys.Now(), p.w.sys.Now()
	}
	if st.Queued > p.w.cfg.MaxQueued {
		p.w.violated("%v: %d bytes queued, and the cap is %d", p, st.Queued, p.w.cfg.MaxQueued)
	}
}

func (p *protocol) ConnectionMade(t reactor.Transport) {
	w := p.w
	w.tracef("%v: made", p)
	if p.made || p.lost || p.failed {
		w.violated("%v: ConnectionMade again or late", p)
	}
	p.made, p.t, p.loop = true, t, t.Loop()
	p.progress, p.idleAt, p.moved, p.active = w.sys.Now(), w.sys.Now(), w.sys.Now(), w.sys.Now()
	if p.outgoing {
		p.id = w.id(t.Host())
		if q := w.byID[p.id]; q != nil {
			q.join(p)
		}
	}
	p.callback(func() { p.actions(4) })
}

func (p *peer) join(q *protocol) {
	if p.proto != nil && p.proto != q {
		p.w.violated("%v has two protocols, %v and %v", p, p.proto, q)
	}
	p.proto, q.peer = q, p
}

func (p *protocol) receiveBuffer() []byte {
	if len(p.buf) == 0 {
		p.buf = make([]byte, 1+p.w.c.size(3000))
	}
	return p.buf
}

func (p *protocol) DataReceived(b []byte) {
	w := p.w
	p.idleAt, p.active, p.pausedSum = w.sys.Now(), w.sys.Now(), 0
	if len(b) == 0 || len(b) > 64<<10 {
		w.violated("%v: DataReceived with %d bytes", p, len(b))
	}
	if p.losing || p.ended || p.paused || p.readLost {
		w.violated("%v: DataReceived, and lose %v, abort %v, paused %v, end of file %v", p, p.losing, p.ended, p.paused,
			p.readLost)
	}
	if p.peer == nil || !in(p.id).matches(b, p.received) {
		w.violated("%v: %d bytes at %d are not its peer's", p, len(b), p.received)
	}
	p.received += len(b)
	if p.peer != nil && p.received > p.peer.sent {
		w.violated("%v: received %d bytes, and %d were sent", p, p.received, p.peer.sent)
	}
	p.told(fmt.Sprintf("data, %d bytes", len(b)), func() {
		if w.c.n(3) > 0 {
			p.write(len(b))
		}
		p.actions(2)
	})
}

func (p *protocol) readConnectionLost() {
	if p.readLost || p.losing {
		p.w.violated("%v: ReadConnectionLost twice or after LoseConnection", p)
	}
	p.readLost = true
	p.told("read connection lost", func() { p.actions(3) })
}

func (p *protocol) writeConnectionLost() {
	if p.writeLost || !p.losingWrite {
		p.w.violated("%v: WriteConnectionLost twice or unasked", p)
	}
	if st := p.t.Stats(); int(st.Out) != p.taken || st.Queued != 0 {
		p.w.violated("%v: WriteConnectionLost with %d of %d bytes written", p, st.Out, p.taken)
	}
	p.writeLost = true
	p.told("write connection lost", func() { p.actions(2) })
}

func (p *protocol) ConnectionLost(reason reactor.Reason, err error) {
	w := p.w
	w.tracef("%v: lost, %v, %v", p, reason, err)
	if !p.live() {
		w.violated("%v: ConnectionLost twice or too early", p)
	}
	if reason == reactor.Done {
		if st := p.t.Stats(); int(st.Out) != p.taken || st.Queued != 0 {
			w.violated("%v: closed in order with %d of %d bytes written, %d queued", p, st.Out, p.taken, st.Queued)
		}
	}
	p.checkReason(reason, err)
	if p.ended && reason == reactor.Done {
		w.violated("%v: lost with %v, and it was aborted", p, reason)
	}
	p.callback(func() {
		p.lost, p.reason, p.lostAt = true, reason, w.sys.Now()
		if p.producer != nil && !p.producer.stopped {
			w.violated("%v: ConnectionLost before StopProducing", p)
		}
		p.write(10) // dropped
		p.getters()
		if w.c.oneIn(3) {
			p.transport(p.t.AbortConnection) // does nothing
		}
		if w.c.oneIn(4) {
			p.connect()
		}
		p.maybePanic()
	})
}

func (p *protocol) ConnectionFailed(reason reactor.Reason, err error) {
	p.w.tracef("%v: connection failed, %v, %v", p, reason, err)
	if p.made || p.failed || !p.outgoing {
		p.w.violated("%v: ConnectionFailed after ConnectionMade, or twice", p)
	}
	p.callback(func() {
		p.failed, p.reason = true, reason
		p.maybePanic()
	})
}
