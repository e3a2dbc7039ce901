package simulator

import (
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// peer is the other end of a simulated connection.
type peer struct {
	w      *world
	id     int
	peer   *memnet.Peer
	proto  *protocol // nil until the reactor has made it
	header []byte    // PROXY header that is still to be sent

	sent, received    int
	limit             int // bytes that it will send
	fin, closed, over bool
	clean             bool // it has read to an orderly end
	readAt            time.Duration
}

func (p *peer) String() string { return fmt.Sprintf("peer %d", p.id) }

// in and out are the streams of connection id, as the protocol sees them.
func in(id int) stream  { return stream(2*id + 1) }
func out(id int) stream { return stream(2 * id) }

func (w *world) dial() {
	if len(w.peers) >= 12 {
		return
	}
	conn, err := w.sys.Dial(w.ep.Scheme, address(w.ep))
	if err != nil {
		w.tracef("dial: %v", err)
		return
	}
	name := w.ep.Scheme + "://" + conn.Addr().String()
	var header []byte
	if w.proxy {
		port := 1000 + len(w.ids)
		name = fmt.Sprintf("tcp://10.0.0.1:%d", port)
		header = fmt.Appendf(nil, "PROXY TCP4 10.0.0.1 10.0.0.2 %d 80\r\n", port)
	}
	w.newPeer(conn, name).header = header
}

// id is the number of the connection that both its ends know by name: the
// address of whoever connected.
func (w *world) id(name string) int {
	if w.ids[name] == 0 {
		w.ids[name] = len(w.ids) + 1
	}
	return w.ids[name]
}

func (w *world) newPeer(conn *memnet.Peer, name string) *peer {
	p := &peer{w: w, id: w.id(name), peer: conn, limit: w.c.size(w.style.total)}
	w.peers = append(w.peers, p)
	w.byID[p.id] = p
	w.tracef("%v: %s, to send %d bytes", p, name, p.limit)
	for _, q := range w.protos { // an outgoing connection, made before we looked
		if q.id == p.id {
			p.proto, q.peer = q, p
		}
	}
	return p
}

// acceptOut takes a connection that a protocol has opened, if there is one.
func (w *world) acceptOut() bool {
	conn, err := w.out.Accept()
	if err != nil {
		return false
	}
	w.newPeer(conn, w.outEP.Scheme+"://"+conn.RemoteAddr().String())
	return true
}

func (p *peer) act() {
	w := p.w
	if p.closed {
		p.forget()
		return
	}
	switch {
	case w.c.oneIn(w.style.peerEnd):
		p.close(w.c.oneIn(2))
	case w.c.oneIn(w.style.peerFin) && len(p.header) == 0:
		p.finish()
	case w.c.n(2) == 0:
		p.write(w.c.size(w.style.maxWrite))
	case w.c.n(w.style.peerRead) == 0:
		p.read(1 + w.c.size(w.style.maxWrite))
	}
}

func (p *peer) write(n int) {
	n = min(n, p.limit-p.sent)
	if p.fin || p.over && !p.clean {
		return
	}
	buf := make([]byte, n)
	in(p.id).fill(buf, p.sent)
	header := len(p.header)
	if header > 0 {
		buf = append(p.header[:header:header], buf...)
	}
	k, err := p.peer.Write(buf[:min(len(buf), 1+p.w.c.n(len(buf)+1))])
	p.w.tracef("%v: write %d of %d, %v", p, k, len(buf), err)
	p.header = p.header[min(k, header):]
	p.sent += max(0, k-header)
	if err != nil && err != syscall.EAGAIN {
		p.over = true
		p.checkReset(err)
	}
}

// read takes up to n bytes, and reports whether there may be more.
func (p *peer) read(n int) bool {
	if p.over || p.closed {
		return false
	}
	buf := make([]byte, n)
	k, err := p.peer.Read(buf)
	p.w.tracef("%v: read %d at %d, %v", p, k, p.received, err)
	if k > 0 && (p.proto == nil || !out(p.id).matches(buf[:k], p.received)) {
		p.w.violated("%v: read %d bytes at %d that are not its connection's", p, k, p.received)
	}
	p.received += k
	if k > 0 {
		p.readAt = p.w.sys.Now()
	}
	if p.proto != nil && p.received > p.proto.taken {
		p.w.violated("%v: read %d bytes, and %d were written", p, p.received, p.proto.taken)
	}
	switch err {
	case nil:
		return true
	case syscall.EAGAIN:
	case io.EOF:
		p.over, p.clean = true, true
		p.checkEnd()
	default:
		p.over = true
		p.checkReset(err)
	}
	return false
}

// checkEnd wants every byte before an orderly end. A Unix socket can't tell an
// abort from an end.
func (p *peer) checkEnd() {
	q := p.proto
	if q == nil || p.received == q.taken || q.unix && q.aborted() {
		return
	}
	p.w.violated("%v: an orderly end after %d bytes, and %d were written (%v)", p, p.received, q.taken, q)
}

// checkReset wants a reason for a reset. Without one a peer may have lost bytes
// that we promised to deliver.
func (p *peer) checkReset(err error) {
	q := p.proto
	if q == nil || p.peer.Broken() || !q.lost || q.reason != reactor.Done || q.panicked {
		return
	}
	// After lingering for the close timeout, bytes that still come are refused.
	if p.w.sys.Now()-q.lostAt >= p.w.cfg.CloseTimeout || p.w.closing {
		return
	}
	p.w.violated("%v: %v at %d of %d bytes, on a connection that was closed in order", p, err, p.received, q.taken)
}

func (p *peer) finish() {
	if p.fin {
		return
	}
	err := p.peer.CloseWrite()
	p.w.tracef("%v: FIN, %v", p, err)
	p.fin = true
}

func (p *peer) close(reset bool) {
	p.closed = true
	p.w.tracef("%v: close, reset %v, %d bytes unread", p, reset, p.peer.Unread())
	if reset {
		p.peer.Reset()
		return
	}
	p.peer.Close()
}

// forget leaves room for another peer.
func (p *peer) forget() {
	for i, q := range p.w.peers {
		if q == p && (p.proto == nil || p.proto.lost) {
			p.w.peers = append(p.w.peers[:i], p.w.peers[i+1:]...)
			return
		}
	}
}

// drain reads what there is.
func (p *peer) drain() {
	for p.read(8 << 10) {
	}
}

// patience of a simulation, in virtual time: all of its timeouts.
func (w *world) longest() time.Duration {
	return w.cfg.CloseTimeout + w.cfg.WriteTimeout + w.cfg.ClosedTimeout
}
