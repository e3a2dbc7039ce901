package wirenet

import (
	"errors"
	"net"
	"syscall"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// listened is what a Listen gave.
type listened struct {
	listener net.Listener
	err      error
}

func (r *rig) listen(network, address string) (got listened) {
	r.t.Helper()
	r.poke()
	done := make(chan listened, 1)
	go func() {
		l, err := r.factory.Listen(network, address)
		done <- listened{l, err}
	}()
	r.until("Listen has returned", func() bool {
		select {
		case got = <-done:
			return true
		default:
			return false
		}
	})
	return got
}

func TestListen(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	got := r.listen("tcp", "127.0.0.1:0")
	if got.err != nil {
		t.Fatal(got.err)
	}
	port := r.server.Ports()[0]
	if addr := got.listener.Addr().String(); "tcp://"+addr != port.Endpoint {
		t.Errorf("found address %s, wanted that of %s", addr, port.Endpoint)
	}
	peer := port.Accept()
	c, err := got.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("passive")); err != nil {
		t.Error(err)
	}
	r.poke()
	if peer.Output() != "passive" {
		t.Errorf("found %q", peer.Output())
	}
	if _, c := r.accept(); c.listener != r.listener {
		t.Error("a connection of the configuration's listener came elsewhere")
	}
	if again := r.listen("tcp", "127.0.0.1:40001"); !errors.Is(again.err, syscall.EADDRINUSE) {
		t.Errorf("a second time: %v", again.err)
	}
	if err := got.listener.Close(); err != nil {
		t.Error(err)
	}
	r.poke()
	if _, err := got.listener.Accept(); !errors.Is(err, net.ErrClosed) || len(r.server.Ports()) > 0 {
		t.Errorf("closed: %v, %d listeners", err, len(r.server.Ports()))
	}
	if err := got.listener.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestListenNotAllowed(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{Deny: true})
	if got := r.listen("tcp", "127.0.0.1:0"); !errors.Is(got.err, wirehost.ErrNotAllowed) {
		t.Errorf("found %v", got.err)
	}
}
