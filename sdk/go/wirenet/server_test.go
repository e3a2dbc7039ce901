package wirenet

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func TestListenerClose(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	taken, c := r.accept()
	waiting := r.server.Accept() // not accepted yet
	if err := r.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if err := r.listener.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if r.server.Accept() != nil {
		t.Error("a connection was accepted")
	}
	r.factory.turn()
	taken.Send("still here")
	if _, ended := waiting.Ended(); !ended {
		t.Error("the connection that was not accepted is open")
	}
	if got := make([]byte, 10); true {
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "still here" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestServerEnds(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	peer, _ := r.accept()
	r.poke()
	r.end <- errors.New("no disk")
	r.until("the listener is closed", r.locked(func() bool { return r.factory.ended }))
	for range 3 {
		peer.Send("x")
	}
	if n := len(r.server.Lines); n != 1 || !strings.Contains(r.server.Lines[0].Text, "no disk") {
		t.Errorf("logged %v, wanted one line with the error", r.server.Lines)
	}
	if r.server.Accept() != nil {
		t.Error("a connection was accepted")
	}
}

func TestStart(t *testing.T) {
	fail := errors.New("no such key")
	s := Serve(func(net.Listener) error { return nil }, Options{Start: func(*wirehost.Reactor) error { return fail }})
	if _, err := sdktest.Start(s, sdktest.Options{}); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("found %v, wanted that of Start", err)
	}
}

func TestServeConn(t *testing.T) {
	done := make(chan struct{})
	f := ServeConn(func(c net.Conn) {
		defer close(done)
		if _, err := io.Copy(c, c); err != nil {
			t.Error(err)
		}
	}, Options{})
	s, err := sdktest.Start(f, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	peer := s.Accept()
	peer.Send("echo")
	peer.Finish()
	<-done
	for give := time.Now().Add(20 * time.Second); time.Now().Before(give); {
		s.Advance(time.Millisecond)
		if _, ended := peer.Ended(); ended {
			break
		}
	}
	if reason, ended := peer.Ended(); !ended || reason != wirehost.Done || peer.Output() != "echo" {
		t.Errorf("ended %t: %v, output %q", ended, reason, peer.Output())
	}
}

// dialled is what a Dial gave.
type dialled struct {
	conn net.Conn
	err  error
}

func (r *rig) dial(ctx context.Context, network, address string) <-chan dialled {
	done := make(chan dialled, 1)
	go func() {
		c, err := r.factory.DialContext(ctx, network, address)
		done <- dialled{c, err}
	}()
	return done
}

func TestDial(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	r.poke()
	outgoing := func() (c *sdktest.Conn) {
		r.until("a connection is asked for", func() bool { return len(r.server.Outgoing()) == 1 })
		return r.server.Outgoing()[0]
	}
	t.Run("made", func(t *testing.T) {
		done := r.dial(context.Background(), "tcp", "10.0.0.1:5432")
		peer := outgoing()
		if peer.Endpoint != "tcp://10.0.0.1:5432" {
			t.Errorf("endpoint %s", peer.Endpoint)
		}
		peer.Establish()
		got := <-done
		if got.err != nil {
			t.Fatal(got.err)
		}
		peer.Send("hi")
		b := make([]byte, 2)
		if _, err := io.ReadFull(got.conn, b); err != nil || string(b) != "hi" ||
			got.conn.RemoteAddr().String() != "10.0.0.1:5432" {
			t.Errorf("%q, %v, from %v", b, err, got.conn.RemoteAddr())
		}
		got.conn.Close()
	})
	t.Run("refused", func(t *testing.T) {
		done := r.dial(context.Background(), "unix", "/run/x")
		peer := outgoing()
		if peer.Endpoint != "unix:///run/x" {
			t.Errorf("endpoint %s", peer.Endpoint)
		}
		peer.Fail(wirehost.Refused)
		if got := <-done; !errors.Is(got.err, syscall.ECONNREFUSED) {
			t.Errorf("%v", got.err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		done := r.dial(ctx, "tcp", "10.0.0.1:1")
		outgoing()
		cancel()
		if got := <-done; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%v", got.err)
		}
		r.until("it is cancelled", func() bool { return len(r.server.Outgoing()) == 0 })
	})
}

// TestDialAs dials on behalf of an accepted connection, and of what is none.
func TestDialAs(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	peer, conn := r.accept()
	dial := func(as net.Conn, network string) <-chan dialled {
		done := make(chan dialled, 1)
		go func() {
			c, err := r.factory.DialAs(context.Background(), as, network, "next")
			done <- dialled{c, err}
		}()
		return done
	}
	done := dial(conn, "plugin")
	r.until("a connection is asked for", func() bool { return len(r.server.Outgoing()) == 1 })
	behind := r.server.Outgoing()[0]
	behind.Establish()
	if got := <-done; got.err != nil || behind.Endpoint != "plugin://next" {
		t.Errorf("%v, to %s", got.err, behind.Endpoint)
	}
	for network, as := range map[string]net.Conn{"plugin": nil, "udp": conn} {
		if got := <-dial(as, network); !errors.Is(got.err, syscall.EINVAL) {
			t.Errorf("%s as %v: %v", network, as, got.err)
		}
	}
	peer.Break(wirehost.Lost)
	done = dial(conn, "plugin")
	var got dialled
	r.until("DialAs has returned", func() bool {
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(got.err, wirehost.ErrNoConnection) {
		t.Errorf("as one that has ended: %v", got.err)
	}
}

// A server that dials at its start does so after a reload, too: when the new
// version has its place.
func TestDialAtReload(t *testing.T) {
	for _, tick := range []time.Duration{0, -1} {
		r := startRig(t, Options{}, sdktest.Options{})
		next := Serve(func(net.Listener) error { return <-r.end }, Options{Tick: tick})
		next.mu.Lock()
		c := next.newConn()
		c.dial = &dial{endpoint: "tcp://db:1"} // as Dial has it
		c.post()
		next.mu.Unlock()
		if err := r.server.Reload(next); err != nil {
			t.Fatal(err)
		}
		r.server.Advance(0)
		if out := r.server.Outgoing(); len(out) != 1 || out[0].Endpoint != "tcp://db:1" {
			t.Errorf("tick %v: found %d connections being made, and %v", tick, len(out), c.dial.err)
		}
	}
}

func TestDialNotAllowed(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{Deny: true})
	r.poke()
	done := r.dial(context.Background(), "tcp", "10.0.0.1:1")
	var got dialled
	r.until("Dial has returned", func() bool {
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(got.err, wirehost.ErrNotAllowed) {
		t.Errorf("%v", got.err)
	}
}
