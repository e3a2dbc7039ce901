package simulator

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/tlsrecord"
	"github.com/wirehost/wirehost/reactor"
)

// SimulateTLS is Simulate for a connection of TLS 1.3 behind its handshake: records of both
// sides are cut anywhere, keys change, calls fail, the protocol pauses and closes, the
// session rests, and moves again and again. Neither side may miss a byte, or the end.
func SimulateTLS(seed uint64) error {
	c := &choices{state: seed}
	w := &tlsWorld{c: c, sys: &faultySys{Sys: memnet.New(memnet.Options{Buffer: 500 << c.n(8)}), c: c,
		rates: newRates(c)}}
	w.sys.rates.reset, w.sys.rates.poll = 0, 0 // nothing is lost
	if err := w.run(); err != nil {
		w.breach("%v", err)
	}
	if len(w.broken) > 0 {
		return errors.New(strings.Join(w.broken, "\n"))
	}
	return nil
}

// The streams of a tlsWorld.
const toProtocol, toPeer = stream(1), stream(2)

// tlsWorld is one simulation of TLS, and its protocol. It runs on one goroutine.
type tlsWorld struct {
	c    *choices
	sys  *faultySys
	r    *reactor.Reactor
	ln   *reactor.Listener
	t    reactor.Transport
	peer *memnet.Peer
	conn *tlsrecord.Conn // the peer's

	out, in     []byte // the peer's: sealed and not sent, come and not opened
	sent, heard int    // bytes of plain text that the peer has sealed, and opened
	wrote, got  int    // that the protocol has written, and got
	closing     bool   // the protocol has called LoseConnection
	notified    bool   // the peer has close_notify
	lost        bool
	broken      []string
}

func (w *tlsWorld) breach(format string, args ...any) {
	if len(w.broken) < 20 {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

func (w *tlsWorld) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return w, nil }

func (w *tlsWorld) ConnectionMade(t reactor.Transport) { w.t = t }

func (w *tlsWorld) DataReceived(p []byte) {
	if w.closing || w.lost || !toProtocol.matches(p, w.got) {
		w.breach("%d bytes at %d; closing %v, lost %v", len(p), w.got, w.closing, w.lost)
	}
	w.got += len(p)
	w.act()
}

func (w *tlsWorld) ConnectionLost(reason reactor.Reason, err error) {
	if w.lost || reason != reactor.Done {
		w.breach("lost as %v, %v; lost before: %v", reason, err, w.lost)
	}
	w.lost = true
}

// act is what the protocol does, on its loop.
func (w *tlsWorld) act() {
	switch {
	case w.closing || w.lost:
	case w.c.oneIn(200):
		w.closing = true
		w.t.LoseConnection()
	case w.c.oneIn(4):
		w.t.PauseProducing()
	case w.c.oneIn(3):
		w.t.ResumeProducing()
	case w.t.Stats().Queued < 100<<10:
		b := make([]byte, w.c.size(20_000))
		toPeer.fill(b, w.wrote)
		if _, err := w.t.Write(b); err != nil {
			w.breach("write: %v", err)
		}
		w.wrote += len(b)
	}
}

func (w *tlsWorld) run() (err error) {
	w.r, err = reactor.New(reactor.Config{Loops: 1, Sys: w.sys, CloseTimeout: time.Hour, WriteTimeout: time.Hour,
		ClosedTimeout: time.Hour})
	if err != nil {
		return err
	}
	ep := reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7}
	if w.ln, err = w.r.Listen(ep, w, reactor.ListenOptions{Loop: -1}); err != nil {
		return err
	}
	if err = w.ln.Start(); err != nil {
		return err
	}
	if w.peer, err = w.sys.Dial("tcp", "127.0.0.1:7"); err != nil {
		return err
	}
	w.turn()
	if w.t == nil {
		return errors.New("it was not accepted")
	}
	session, err := w.sessions()
	if err != nil {
		return err
	}
	w.move(session)
	w.sys.on = true
	for range 50 + w.c.n(300) {
		w.step()
	}
	w.sys.on = false
	w.finish()
	return w.r.Close()
}

// sessions makes both sides of a session: the peer's, and what the server's begins with.
func (w *tlsWorld) sessions() (*reactor.FrozenTLS, error) {
	suites := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	suite := suites[w.c.n(len(suites))]
	secret := func(s stream) []byte {
		b := make([]byte, 32)
		if suite == tls.TLS_AES_256_GCM_SHA384 {
			b = make([]byte, 48)
		}
		s.fill(b, w.c.n(patternSize))
		return b
	}
	in, out := secret(toProtocol), secret(toPeer)
	limit := func() uint64 { return []uint64{0, 3, 20}[w.c.n(3)] } // keys change that often
	var err error
	w.conn, err = tlsrecord.New(tlsrecord.State{Suite: suite, Client: true, Limit: limit(),
		In: tlsrecord.Half{Secret: out}, Out: tlsrecord.Half{Secret: in}})
	return &reactor.FrozenTLS{Version: tls.VersionTLS13, Session: tlsrecord.State{Suite: suite, Limit: limit(),
		In: tlsrecord.Half{Secret: in}, Out: tlsrecord.Half{Secret: out}}}, err
}

// turn has the loop do all that it has to.
func (w *tlsWorld) turn() {
	for n := 0; w.r.Step() && len(w.broken) == 0; n++ {
		if n > 10*maxSteps {
			w.breach("the loop spins")
		}
	}
}

func (w *tlsWorld) onLoop(fn func()) {
	if err := w.r.Loops()[0].CallFromThread(func() {
		if !w.lost {
			fn()
		}
	}); err != nil {
		w.breach("CallFromThread: %v", err)
	}
	w.turn()
}

// move has another connection, with another descriptor, go on; with its TLS begun where
// begin says so.
func (w *tlsWorld) move(begin *reactor.FrozenTLS) {
	w.onLoop(func() {
		l := w.r.Loops()[0]
		s, err := l.Freeze(w.t)
		if err != nil {
			return // it is over
		}
		if begin != nil {
			s.TLS = begin
		}
		text, err := json.Marshal(s)
		s = reactor.Frozen{}
		if err = errors.Join(err, json.Unmarshal(text, &s)); err != nil {
			w.breach("%v", err)
			return
		}
		f, err := l.File(w.t)
		if err != nil {
			w.breach("%v", err)
			return
		}
		defer f.Close()
		next, err := l.Adopt(f, s, w, nil, w.ln, nil)
		if err != nil {
			w.breach("adopt: %v", err)
			return
		}
		l.Forget(w.t)
		w.t = next
		l.Thaw(next)
	})
}

func (w *tlsWorld) step() {
	switch w.c.n(7) {
	case 0:
		b := make([]byte, w.c.size(20_000))
		toProtocol.fill(b, w.sent)
		w.out = w.conn.Seal(w.out, b)
		w.sent += len(b)
	case 1, 2:
		w.send(w.c.n(len(w.out) + 1))
	case 3:
		w.take(1 + w.c.size(40_000))
	case 4:
		w.onLoop(w.act)
	case 5:
		w.sys.Advance([]time.Duration{time.Millisecond, time.Second}[w.c.n(2)])
	case 6:
		if w.c.oneIn(3) {
			w.move(nil)
		}
	}
	for range w.c.n(4) {
		w.r.Step()
	}
}

// send has the peer send up to n bytes of what it has sealed.
func (w *tlsWorld) send(n int) {
	n, _ = w.peer.Write(w.out[:n]) // there may be no room, or nobody who reads any more
	w.out = w.out[n:]
}

// take has the peer read up to n bytes, and open the records that are whole.
func (w *tlsWorld) take(n int) {
	buf := make([]byte, n)
	n, _ = w.peer.Read(buf) // there may be none
	w.in = append(w.in, buf[:n]...)
	for !w.notified {
		n, err := w.conn.Next(w.in)
		if err != nil {
			w.breach("the peer: %v", err)
			return
		}
		if n == 0 || n > len(w.in) {
			break
		}
		plain, err := w.conn.Open(nil, w.in[:n])
		w.in = w.in[n:]
		if !toPeer.matches(plain, w.heard) {
			w.breach("the peer has %d wrong bytes at %d", len(plain), w.heard)
		}
		w.heard += len(plain)
		if w.notified = errors.Is(err, io.EOF); err != nil && !w.notified {
			w.breach("the peer: %v", err)
			return
		}
	}
	w.out = w.conn.Answer(w.out)
}

// finish has all that is under way arrive, and then the end.
func (w *tlsWorld) finish() {
	settle := func() {
		progress := func() [4]int { return [4]int{w.got, w.heard, len(w.out), len(w.in)} }
		for was := [4]int{-1}; was != progress() && len(w.broken) == 0; {
			was = progress()
			w.onLoop(func() {
				if !w.closing {
					w.t.ResumeProducing()
				}
			})
			for range 10 {
				w.send(len(w.out))
				w.turn()
				w.take(64 << 10)
			}
		}
	}
	settle()
	w.out = w.conn.CloseNotify(w.out)
	settle()
	if err := w.peer.Close(); err != nil {
		w.breach("%v", err)
	}
	w.turn()
	if !w.closing && w.got != w.sent || w.heard != w.wrote || !w.notified || !w.lost {
		w.breach("got %d of %d; the peer got %d of %d; it has close_notify: %v; lost: %v", w.got, w.sent, w.heard,
			w.wrote, w.notified, w.lost)
	}
}
