package reactor_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// TestPromisesMoved runs every row of what a connection promises while each connection is
// frozen after whatever happens to it, and goes on as another one, of another descriptor,
// or thawed as the same.
func TestPromisesMoved(t *testing.T) {
	for _, sys := range []string{"epoll", "portable", "memory"} {
		for _, scheme := range []string{"tcp", "tls", "unix"} {
			for _, how := range []string{"moved", "thawed"} {
				if sys == "epoll" && how == "thawed" { // is what the others' are
					continue
				}
				t.Run(sys+"/"+scheme+"/"+how, func(t *testing.T) {
					t.Parallel()
					testPromisesMoved(t, sys, scheme, how == "thawed")
				})
			}
		}
	}
}

func testPromisesMoved(t *testing.T, sys, scheme string, thawed bool) {
	if sys == "epoll" && !reactor.HasEpoll {
		t.Skip("this system has no epoll")
	}
	var moves atomic.Int64
	cert, pool := reactor.CertificateForTest(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	client := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	reactortest.Suite(t, reactortest.Backend{
		TLS: scheme == "tls", Unix: scheme == "unix", LateReset: sys == "portable", Holds: true,
		Serve: func(t *testing.T, s reactortest.Settings) *reactortest.Server {
			cfg := reactor.Config{Loops: 1, Backend: sys, CloseTimeout: s.CloseTimeout, WriteTimeout: s.WriteTimeout,
				ClosedTimeout: s.ClosedTimeout, MaxQueued: s.MaxQueued}
			if sys == "memory" {
				cfg.Backend, cfg.Sys = "", memnet.New(memnet.Options{})
			}
			f := &movingFactory{Factory: reactortest.NewScript(pool), t: t, moves: &moves, thawed: thawed}
			return scriptedServer(t, cfg, scheme, f, s.HandshakeTimeout, server, client)
		},
	})
	if moves.Load() < 500 {
		t.Errorf("found %d moves", moves.Load())
	}
}

// movingFactory has the connections of another factory be moved.
type movingFactory struct {
	reactor.Factory
	t      *testing.T
	moves  *atomic.Int64
	thawed bool
}

func (f *movingFactory) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	return f.build(f.Factory, &movingTransport{Transport: t, f: f})
}

func (f *movingFactory) build(of reactor.Factory, t *movingTransport) (reactor.Protocol, error) {
	p, err := of.BuildProtocol(t)
	var late reactor.Later
	if errors.As(err, &late) {
		return nil, movingLater{late, t}
	}
	if err != nil {
		return nil, err
	}
	m := movingProtocol{p, t}
	t.protocol = m
	if h, ok := p.(reactor.HalfCloseable); ok {
		t.protocol = movingHalf{m, h}
	}
	return t.protocol, nil
}

// movingLater is asked for the protocol later.
type movingLater struct {
	reactor.Later
	t *movingTransport
}

func (l movingLater) BuildProtocol(reactor.Transport) (reactor.Protocol, error) {
	return l.t.f.build(l.Later, l.t)
}

// movingTransport is the transport of a connection wherever that is now. It is moved in
// the turn after something has happened to it.
type movingTransport struct {
	reactor.Transport
	f        *movingFactory
	protocol reactor.Protocol
	producer reactor.Producer
	due      bool
}

// touched has it moved in the next turn.
func (t *movingTransport) touched() {
	if !t.due {
		t.due = true
		// A loop that has ended has nothing to move.
		_ = t.Loop().CallFromThread(func() { t.due = false; t.move() })
	}
}

func (t *movingTransport) move() {
	l, old := t.Loop(), t.Transport
	if reactor.ProtocolOf(old) != t.protocol { // it was handed over
		return
	}
	s, err := l.Freeze(old)
	if err != nil { // it is over, or has no protocol yet
		return
	}
	t.f.moves.Add(1)
	// Nothing that is called now does anything.
	queued := old.Stats().Queued
	if n, err := old.Write([]byte("lost")); n != 0 || err != nil || old.Stats().Queued != queued {
		t.f.t.Errorf("a frozen connection takes output: %d, %v", n, err)
	}
	old.AbortConnection()
	old.LoseConnection()
	if !t.f.thawed {
		var next reactor.Transport
		if next, err = t.adopt(l, s); err == nil {
			was := old.State()
			l.Forget(old)
			t.Transport = next
			if was&^reactor.StateProducer|next.State()&reactor.StateProducer != next.State() {
				t.f.t.Errorf("found state %b, before it %b", next.State(), was)
			}
		}
	}
	if err != nil && !reactor.OutOfFDs(err) && !errors.Is(err, reactor.ErrStopped) {
		t.f.t.Error(err)
	}
	l.Thaw(t.Transport)
}

func (t *movingTransport) adopt(l *reactor.Loop, s reactor.Frozen) (reactor.Transport, error) {
	if len(s.Queued) < 1<<20 { // more takes long
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		s = reactor.Frozen{}
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
	}
	f, err := l.File(t.Transport)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return l.Adopt(f, s, t.protocol, t.producer, reactor.ListenerOf(t.Transport), nil)
}

func (t *movingTransport) RegisterProducer(p reactor.Producer, streaming bool) error {
	m := movingProducer{p, t}
	err := t.Transport.RegisterProducer(m, streaming)
	if err == nil {
		t.producer = m
	}
	t.touched()
	return err
}

func (t *movingTransport) UnregisterProducer() {
	t.producer = nil
	t.Transport.UnregisterProducer()
	t.touched()
}

func (t *movingTransport) Write(p []byte) (int, error) {
	t.touched()
	return t.Transport.Write(p)
}

func (t *movingTransport) WriteSequence(pieces [][]byte) (int, error) {
	t.touched()
	return t.Transport.WriteSequence(pieces)
}

func (t *movingTransport) HandOver(to reactor.Destination, first []byte) error {
	t.touched()
	to.Factory = &movingFactory{Factory: to.Factory, t: t.f.t, moves: t.f.moves, thawed: t.f.thawed}
	return t.Transport.HandOver(to, first)
}

func (t *movingTransport) LoseConnection()      { t.touched(); t.Transport.LoseConnection() }
func (t *movingTransport) LoseWriteConnection() { t.touched(); t.Transport.LoseWriteConnection() }
func (t *movingTransport) PauseProducing()      { t.touched(); t.Transport.PauseProducing() }
func (t *movingTransport) ResumeProducing()     { t.touched(); t.Transport.ResumeProducing() }

// movingProtocol tells the protocol, and has the connection moved.
type movingProtocol struct {
	reactor.Protocol
	t *movingTransport
}

func (p movingProtocol) ConnectionMade(reactor.Transport) {
	p.t.touched()
	p.Protocol.ConnectionMade(p.t)
}

func (p movingProtocol) DataReceived(b []byte) {
	p.t.touched()
	p.Protocol.DataReceived(b)
}

func (p movingProtocol) HandshakeCompleted() {
	p.t.touched()
	if h, ok := p.Protocol.(reactor.HandshakeListener); ok {
		h.HandshakeCompleted()
	}
}

// movingHalf is one that goes on after a FIN.
type movingHalf struct {
	movingProtocol
	half reactor.HalfCloseable
}

func (p movingHalf) ReadConnectionLost()  { p.t.touched(); p.half.ReadConnectionLost() }
func (p movingHalf) WriteConnectionLost() { p.t.touched(); p.half.WriteConnectionLost() }

// movingProducer tells the producer.
type movingProducer struct {
	reactor.Producer
	t *movingTransport
}

func (p movingProducer) PauseProducing()  { p.t.touched(); p.Producer.PauseProducing() }
func (p movingProducer) ResumeProducing() { p.t.touched(); p.Producer.ResumeProducing() }
