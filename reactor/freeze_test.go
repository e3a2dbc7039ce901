package reactor_test

import (
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// mover sends back what it gets, and tells what it was told.
type mover struct {
	t    reactor.Transport
	told chan<- string
}

func (e *mover) BuildProtocol(reactor.Transport) (reactor.Protocol, error) {
	return &mover{told: e.told}, nil
}
func (e *mover) ConnectionMade(t reactor.Transport) {
	e.t = t
	e.told <- "made"
}
func (e *mover) DataReceived(p []byte) {
	_, _ = e.t.Write(p) // the test sees that it is missing
}
func (e *mover) ConnectionLost(reason reactor.Reason, _ error) { e.told <- reason.String() }

// onLoop runs fn on l, and waits for it.
func onLoop(t *testing.T, l *reactor.Loop, fn func() error) {
	t.Helper()
	done := make(chan error, 1)
	must(t, l.CallFromThread(func() { done <- fn() }))
	must(t, <-done)
}

// moveTo takes the only connection of one reactor to another, as text, and there to to.
func moveTo(t *testing.T, from, to *reactor.Loop, ln *reactor.Listener) {
	t.Helper()
	var moved reactor.Transport
	onLoop(t, from, func() error {
		for c := range from.Connections {
			moved = c
		}
		frozen, err := from.Freeze(moved)
		if err != nil {
			return err
		}
		text, err := json.Marshal(frozen)
		if err != nil {
			return err
		}
		f, err := from.File(moved)
		if err != nil {
			return err
		}
		defer f.Close()
		adopted := make(chan error, 1)
		var in reactor.Transport
		p := reactor.ProtocolOf(moved).(*mover)
		if err := to.CallFromThread(func() {
			var s reactor.Frozen
			err := json.Unmarshal(text, &s)
			if err == nil {
				next := &mover{told: p.told}
				in, err = to.Adopt(f, s, next, nil, ln, nil)
				next.t = in
			}
			adopted <- err
		}); err != nil {
			return err
		}
		if err := <-adopted; err != nil {
			return err
		}
		from.Forget(moved)
		return to.CallFromThread(func() { to.Thaw(in) })
	})
}

// TestMovedStream has a client send and count a stream while its connection goes to and
// fro between two reactors.
func TestMovedStream(t *testing.T) {
	for _, backend := range []string{"epoll", "portable", "memory"} {
		for _, scheme := range []string{"tcp", "unix"} {
			t.Run(backend+"/"+scheme, func(t *testing.T) { testMovedStream(t, backend, scheme) })
		}
	}
}

func testMovedStream(t *testing.T, backend, scheme string) {
	a, b, dial := twoReactors(t, backend)
	told := make(chan string, 10)
	ep := reactor.Endpoint{Scheme: scheme, Host: "127.0.0.1", Path: socketPath(t)}
	one, err := a.Listen(ep, &mover{told: told}, reactor.ListenOptions{Loop: -1})
	must(t, err)
	must(t, one.Start())
	f, err := one.File()
	must(t, err)
	two, err := b.ListenFile(f, one.Endpoint(), &mover{told: told}, reactor.ListenOptions{Loop: -1})
	must(t, errors.Join(err, f.Close()))
	client, err := dial(one.Endpoint())
	must(t, err)
	defer client.Close()
	if e := <-told; e != "made" {
		t.Fatalf("found %q", e)
	}
	const n, moves = 8 << 20, 40
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(script.Pattern(0, n))
		sent <- err
	}()
	wanted := script.Pattern(0, n)
	got := make([]byte, n/moves)
	for i := range moves {
		if k, err := io.ReadFull(client, got); err != nil || string(got) != string(wanted[:len(got)]) {
			t.Fatalf("move %d: found %d other bytes, or %v", i, k, err)
		}
		wanted = wanted[len(got):]
		if i%2 == 0 {
			moveTo(t, a.Loops()[0], b.Loops()[0], two)
		} else {
			moveTo(t, b.Loops()[0], a.Loops()[0], one)
		}
		if n := one.Stats().Connections + two.Stats().Connections; n != 1 {
			t.Errorf("move %d: found %d connections", i, n)
		}
	}
	must(t, errors.Join(<-sent, client.(interface{ CloseWrite() error }).CloseWrite()))
	if rest, err := io.ReadAll(client); err != nil || string(rest) != string(wanted) {
		t.Errorf("found %d bytes of %d, %v", len(rest), len(wanted), err)
	}
	if e := <-told; e != "connection done" {
		t.Errorf("found %q", e)
	}
}
