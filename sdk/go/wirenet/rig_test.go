package wirenet

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// rig is a Server whose clock a test turns by hand. The test is the callbacks'
// goroutine.
type rig struct {
	t        *testing.T
	factory  *Server
	server   *sdktest.Server
	spare    *sdktest.Conn // for callbacks that nothing else brings
	listener net.Listener
	end      chan error // what serve is to return
}

func startRig(t *testing.T, o Options, so sdktest.Options) *rig {
	t.Helper()
	r := &rig{t: t, end: make(chan error, 1)}
	listeners := make(chan net.Listener, 1)
	r.factory = Serve(func(l net.Listener) error {
		listeners <- l
		return <-r.end
	}, o)
	r.factory.now = func() int64 {
		if r.server == nil {
			return 0
		}
		return int64(r.server.Seconds() * float64(time.Second))
	}
	var err error
	if r.server, err = sdktest.Start(r.factory, so); err != nil {
		t.Fatal(err)
	}
	r.listener = <-listeners
	t.Cleanup(func() {
		r.server.Stop()
		close(r.end)
	})
	return r
}

// now is the time by the clock that the test turns.
func (r *rig) now() time.Time {
	b := r.factory.begin
	return b.at.Add(time.Duration(r.factory.now() - b.now))
}

// accept opens a connection.
func (r *rig) accept() (*sdktest.Conn, *Conn) {
	r.t.Helper()
	peer := r.server.Accept()
	if peer == nil {
		r.t.Fatal("the connection was refused")
	}
	c, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	return peer, c.(*Conn)
}

// poke does for the server what goroutines wanted.
func (r *rig) poke() {
	if r.spare == nil {
		r.spare, _ = r.accept()
	}
	r.factory.turn()
	r.spare.SendBytes(nil) // delivers what that caused
}

// result is what a call of a connection returned.
type result struct {
	n   int
	err error
}

// start runs a call in a goroutine.
func start(call func([]byte) (int, error), p []byte) <-chan result {
	done := make(chan result, 1)
	go func() {
		n, err := call(p)
		done <- result{n, err}
	}()
	return done
}

// wait turns the server until the call has returned.
func (r *rig) wait(done <-chan result) result {
	r.t.Helper()
	for give := time.Now().Add(20 * time.Second); time.Now().Before(give); runtime.Gosched() {
		r.poke()
		select {
		case got := <-done:
			return got
		default:
		}
	}
	r.t.Fatal("the call did not return")
	return result{}
}

// until turns the server until what is so.
func (r *rig) until(what string, so func() bool) {
	r.t.Helper()
	for give := time.Now().Add(20 * time.Second); !so(); runtime.Gosched() {
		if time.Now().After(give) {
			r.t.Fatalf("it never was so: %s", what)
		}
		r.poke()
	}
}

// locked runs f with the server's lock.
func (r *rig) locked(f func() bool) func() bool {
	return func() bool {
		r.factory.mu.Lock()
		defer r.factory.mu.Unlock()
		return f()
	}
}
