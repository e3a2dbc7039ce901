package wirenet

import (
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop owns an sdktest.Server in a goroutine of its own, in real time: beside it
// the goroutines of a server run in parallel, which is harder than a guest's
// one thread.
type loop struct {
	server   *sdktest.Server
	listener net.Listener
	calls    chan func()
	wake     chan struct{}
	done     chan struct{}
	ended    chan struct{}
}

func startLoop(t *testing.T, o Options) *loop {
	t.Helper()
	l := &loop{
		calls: make(chan func()), wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
	}
	listeners := make(chan net.Listener, 1)
	o.Tick = time.Millisecond
	f := Serve(func(nl net.Listener) error {
		listeners <- nl
		<-l.done
		return nil
	}, o)
	f.wake = func() {
		select {
		case l.wake <- struct{}{}:
		default: // it is awake
		}
	}
	var err error
	if l.server, err = sdktest.Start(f, sdktest.Options{Stalled: true}); err != nil {
		t.Fatal(err)
	}
	l.listener = <-listeners
	return l
}

// run turns the loop until done is closed; after each call it runs relay.
func (l *loop) run(relay func()) {
	defer close(l.ended)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case f := <-l.calls:
			f()
		case <-l.wake:
		case <-tick.C:
		case <-l.done:
			l.server.Stop()
			return
		}
		l.server.Advance(time.Millisecond)
		relay()
	}
}

// side is a connection's peer, with what a network knows of it.
type side struct {
	*sdktest.Conn
	finished bool // it was told that the other side closed
}

// carry takes what from's plugin wrote to to's, unless to does not read.
func carry(from, to *side) {
	if to.finished {
		return
	}
	if to.State()&wirehost.StatePaused == 0 || to.Disconnecting() {
		if text := from.Take(); text != "" {
			to.Send(text)
		}
		if _, ended := from.Ended(); !ended {
			from.Drain()
		}
	}
	if _, ended := from.Ended(); (ended || from.State()&wirehost.StateWriteClosed != 0) && from.Output() == "" {
		to.finished = true
		if _, over := to.Ended(); !over {
			to.Finish()
		}
	}
}

// makePipe makes two connections of a guest that are each other's peer.
func makePipe(t *testing.T, o Options) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		l := startLoop(t, o)
		a, b := &side{Conn: l.server.Accept()}, &side{Conn: l.server.Accept()}
		go l.run(func() {
			carry(a, b)
			carry(b, a)
		})
		if c1, err = l.listener.Accept(); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.listener.Accept(); err != nil {
			return nil, nil, nil, err
		}
		var once sync.Once
		return c1, c2, func() {
			once.Do(func() {
				c1.Close()
				c2.Close()
				close(l.done)
				<-l.ended
			})
		}, nil
	}
}

// TestConn is the conformance suite of golang.org/x/net for connections.
func TestConn(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
	}{
		{"usual buffers", Options{}},
		{"small buffers", Options{ReadBuffer: 4 << 10, WriteBuffer: 4 << 10}},
	} {
		t.Run(c.name, func(t *testing.T) { nettest.TestConn(t, makePipe(t, c.options)) })
	}
}
