package simulator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// SimulateDatagrams is Simulate for datagram sockets: a port with one or two of them, under
// senders whose datagrams the network may lose, repeat and reorder, with calls that fail,
// protocols that pause, answer, close and are late, and sockets that move. It checks what
// every socket is promised, and that each datagram that nobody says was dropped is told.
func SimulateDatagrams(seed uint64) error {
	c := &choices{state: seed}
	w := &mailWorld{c: c, told: map[uint32]int{}, last: map[uint16]uint32{}}
	w.run(seed)
	if len(w.broken) > 0 {
		return errors.New(strings.Join(w.broken, "\n"))
	}
	return nil
}

// mailWorld is one simulation of datagrams. It runs on one goroutine.
type mailWorld struct {
	c       *choices
	sys     *faultyMail
	r       *reactor.Reactor
	port    *reactor.DatagramPort
	shares  []*reactor.Share
	peers   []*memnet.DatagramPeer
	protos  []*mailProtocol // one for each socket, and those before they moved
	i       memnet.Impairment
	limit   int
	sent    uint32
	told    map[uint32]int    // how often each was
	last    map[uint16]uint32 // of each sender
	depth   int               // of callbacks
	closing bool              // a socket was closed: what it had is lost
	broken  []string
}

func (w *mailWorld) breach(format string, args ...any) {
	if len(w.broken) < 20 {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

// faultyMail is a Sys whose datagram calls fail now and then.
type faultyMail struct {
	*memnet.Sys
	c  *choices
	on bool
}

type faultyMailIO struct {
	reactor.DatagramIO
	sys *faultyMail
}

func (f *faultyMail) NewDatagramIO() (reactor.DatagramIO, error) {
	io, err := f.Sys.NewDatagramIO()
	return faultyMailIO{io, f}, err
}

// fault is nil, most times.
func (f *faultyMail) fault() error {
	if !f.on || !f.c.oneIn(20) {
		return nil
	}
	return []syscall.Errno{syscall.EAGAIN, syscall.EINTR, syscall.ENOBUFS, syscall.ENOMEM}[f.c.n(4)]
}

func (b faultyMailIO) Receive(fd reactor.FD, family byte) ([]reactor.Datagram, error) {
	if err := b.sys.fault(); err != nil {
		return nil, err
	}
	return b.DatagramIO.Receive(fd, family)
}

func (b faultyMailIO) Send(fd reactor.FD, family byte, list []reactor.Datagram) (int, error) {
	if err := b.sys.fault(); err != nil {
		n, _ := b.DatagramIO.Send(fd, family, list[:b.sys.c.n(len(list))]) // what failed there fails here
		return n, err
	}
	return b.DatagramIO.Send(fd, family, list)
}

// mailProtocol is a socket's protocol, which does what its world chooses.
type mailProtocol struct {
	w       *mailWorld
	s       *reactor.DatagramSocket
	buf     []byte
	paused  bool
	frozen  bool // or moved: it hears nothing
	started bool
	stopped bool
}

// enter is at the start of each callback.
func (p *mailProtocol) enter(what string) (leave func()) {
	w := p.w
	if w.depth++; w.depth > 1 {
		w.breach("%s inside of a callback", what)
	}
	if p.stopped || p.frozen || !p.started && what == "datagramsReceived" {
		w.breach("%s of a socket that is stopped: %t, frozen: %t, started: %t", what, p.stopped, p.frozen, p.started)
	}
	return func() { w.depth-- }
}

func (p *mailProtocol) StartProtocol(s *reactor.DatagramSocket) {
	defer p.enter("startProtocol")()
	p.s, p.started = s, true
}

func (p *mailProtocol) StopProtocol(reactor.Reason, error) {
	defer p.enter("stopProtocol")()
	p.stopped, p.w.closing = true, true
}

func (p *mailProtocol) ConnectionRefused() {
	p.w.breach("connectionRefused of a socket without a peer")
}

func (p *mailProtocol) ReceiveBuffer() []byte {
	return p.buf[:reactor.MinDatagramBuffer+p.w.c.size(len(p.buf)-reactor.MinDatagramBuffer)]
}

func (p *mailProtocol) DatagramsReceived(records []byte, n int) {
	defer p.enter("datagramsReceived")()
	w := p.w
	if p.paused || n < 1 || n > reactor.MaxDatagrams {
		w.breach("found a batch of %d, while paused: %t", n, p.paused)
	}
	for rest := records; n > 0; n-- {
		d, more, err := reactor.NextDatagram(rest)
		if err != nil || d.Cut {
			w.breach("found a record that is cut: %t, %v", d.Cut, err)
			return
		}
		rest = more
		w.note(d)
	}
	p.act(records)
}

// note takes one datagram that was told.
func (w *mailWorld) note(d reactor.Datagram) {
	id := binary.LittleEndian.Uint32(d.Payload)
	if !stream(id).matches(d.Payload[4:], 0) {
		w.breach("datagram %d: found another payload", id)
	}
	if w.told[id]++; w.told[id] > 1 && w.i.Repeat == 0 {
		w.breach("datagram %d was told %d times", id, w.told[id])
	}
	from := d.Peer.Port()
	if id < w.last[from] && w.i.Reorder == 0 && w.i.Repeat == 0 {
		w.breach("datagram %d came behind %d of the same sender", id, w.last[from])
	}
	w.last[from] = id
}

// act is what a protocol does in a callback.
func (p *mailProtocol) act(records []byte) {
	w := p.w
	switch w.c.n(12) {
	case 0, 1, 2:
		if n, err := p.s.Send(records, 1); n > 1 || err != nil {
			w.breach("send: found %d, %v", n, err)
		}
	case 3:
		p.pause()
	case 4:
		for _, s := range w.shares {
			s.Spent(time.Duration(w.c.n(8)) * time.Millisecond)
		}
	case 5:
		if w.c.oneIn(20) {
			p.s.LoseConnection()
		}
	case 6:
		if _, err := p.s.Freeze(); err == nil {
			w.breach("a socket was frozen inside of its callback")
		}
	}
}

func (p *mailProtocol) pause() {
	p.s.PauseProducing()
	p.paused = true
}

func (p *mailProtocol) resume() {
	p.paused = false
	p.s.ResumeProducing()
}

// alive are the protocols that may be told something.
func (w *mailWorld) alive() (list []*mailProtocol) {
	for _, p := range w.protos {
		if p.started && !p.stopped && !p.frozen {
			list = append(list, p)
		}
	}
	return list
}

func (w *mailWorld) run(seed uint64) {
	if w.c.oneIn(2) {
		w.i = memnet.Impairment{Seed: seed, Lose: w.c.n(3) * 50, Repeat: w.c.n(3) * 50, Reorder: w.c.n(3) * 50}
	}
	if w.c.oneIn(4) {
		w.limit = 1 + w.c.n(50)
	}
	w.sys = &faultyMail{Sys: memnet.New(memnet.Options{Datagrams: w.i}), c: w.c, on: true}
	if err := w.listen(); err != nil {
		w.breach("%v", err)
		return
	}
	for range 50 + w.c.n(200) {
		w.step()
	}
	w.sys.on = false
	for range 100 {
		for _, p := range w.alive() {
			w.onLoop(p, p.resume)
		}
		w.sys.Advance(10 * time.Millisecond)
		for w.r.Step() && len(w.broken) == 0 {
		}
	}
	w.count()
	if err := w.r.Close(); err != nil {
		w.breach("%v", err)
	}
	for _, p := range w.protos {
		if p.started && !p.frozen && !p.stopped {
			w.breach("a protocol was never stopped")
		}
	}
	if n := w.sys.OpenFDs(); n != 0 || len(w.sys.Misuse()) > 0 {
		w.breach("%d descriptors are left; misuse: %q", n, w.sys.Misuse())
	}
	if n := w.r.Sockets(); n != 0 {
		w.breach("%d sockets are counted after the reactor has ended", n)
	}
}

func (w *mailWorld) listen() (err error) {
	if w.r, err = reactor.New(reactor.Config{Loops: 1 + w.c.n(2), Sys: w.sys}); err != nil {
		return err
	}
	o := reactor.DatagramOptions{Loop: -1, PerPeer: reactor.PeerLimits{DatagramsPerSecond: w.limit}}
	o.Share = func(l *reactor.Loop) *reactor.Share {
		s := l.NewShare()
		w.shares = append(w.shares, s)
		return s
	}
	w.port, err = w.r.ListenDatagrams(reactor.Endpoint{Scheme: "udp", Host: []string{"", "127.0.0.1"}[w.c.n(2)]},
		func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) { return w.protocol(), nil }, o)
	if err != nil {
		return err
	}
	if err := w.port.Start(); err != nil {
		return err
	}
	for i := range 3 {
		p, err := w.sys.DatagramPeer("udp", fmt.Sprintf("10.0.0.%d:0", i+1))
		if err != nil {
			return err
		}
		w.peers = append(w.peers, p)
	}
	return nil
}

func (w *mailWorld) protocol() *mailProtocol {
	p := &mailProtocol{w: w, buf: make([]byte, 8<<10)}
	w.protos = append(w.protos, p)
	return p
}

// onLoop does something with a protocol's socket, as a function from elsewhere.
func (w *mailWorld) onLoop(p *mailProtocol, do func()) {
	if err := p.s.Loop().CallFromThread(func() {
		if !p.stopped && !p.frozen {
			do()
		}
	}); err != nil {
		w.breach("%v", err)
	}
}

// step is one action of the schedule.
func (w *mailWorld) step() {
	switch w.c.n(8) {
	case 0, 1, 2:
		peer := w.peers[w.c.n(len(w.peers))]
		for range 1 + w.c.n(20) {
			w.sent++
			payload := make([]byte, 4+w.c.size(900))
			binary.LittleEndian.PutUint32(payload, w.sent)
			stream(w.sent).fill(payload[4:], 0)
			if err := peer.Send(fmt.Sprintf("127.0.0.1:%d", w.port.Endpoint().Port), payload); err != nil {
				w.breach("%v", err)
			}
		}
	case 3:
		w.sys.Advance(time.Duration(w.c.n(50)) * time.Millisecond)
	case 4:
		if list := w.alive(); len(list) > 0 {
			p := list[w.c.n(len(list))]
			w.onLoop(p, []func(){p.pause, p.resume, p.resume, func() { w.move(p) }}[w.c.n(4)])
		}
	default:
		w.r.Step()
	}
}

// move has another protocol go on with p's socket, or p itself.
func (w *mailWorld) move(p *mailProtocol) {
	values, err := p.s.Freeze()
	if err != nil {
		return // it is closing
	}
	if w.c.oneIn(2) {
		p.s.Thaw()
		return
	}
	p.frozen = true
	f, err := p.s.File()
	if err != nil {
		w.breach("%v", err)
		return
	}
	defer f.Close()
	to := w.protocol()
	to.started, to.paused = true, p.paused
	if to.s, err = p.s.Loop().AdoptDatagram(f, values, to, w.port, reactor.DatagramOptions{}); err != nil {
		w.breach("%v", err)
		return
	}
	p.s.Forget()
	to.s.Thaw()
}

// count holds what was told against what was sent.
func (w *mailWorld) count() {
	s := w.port.Stats()
	var told uint64
	for _, n := range w.told {
		told += uint64(n)
	}
	if told != s.Received {
		w.breach("told %d, and counted %d", told, s.Received)
	}
	if w.i.Lose == 0 && w.i.Repeat == 0 && !w.closing && uint64(w.sent) != s.Received+s.Limited+w.sys.Overflowed() {
		w.breach("sent %d, and found %+v, and %d that sockets had no room for", w.sent, s, w.sys.Overflowed())
	}
}
