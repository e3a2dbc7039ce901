package memnet_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// TestSys: the network in memory has what the loops rely on.
func TestSys(t *testing.T) {
	reactortest.SysSuite(t, reactortest.SysBackend{
		New: func(t *testing.T) reactor.Sys {
			return memnet.New(memnet.Options{SelfTurning: true})
		},
		Networks: []string{"tcp", "unix"},
	})
}

// patient says so when a second has passed.
type patient struct{}

func (patient) ConnectionMade(t reactor.Transport) {
	t.Loop().CallLater(time.Second, func() { _, _ = t.Write([]byte("a second")) }) // the peer reads it
}
func (patient) DataReceived([]byte)                  {}
func (patient) ConnectionLost(reactor.Reason, error) {}

func (patient) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return patient{}, nil }

// A reactor that is stepped, a peer, and a clock that is turned: no socket, no
// goroutine and no wait.
func Example() {
	sys := memnet.New(memnet.Options{})
	r, err := reactor.New(reactor.Config{Loops: 1, Sys: sys})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	turn := func() {
		for r.Step() {
		}
	}
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1", Port: 7}, patient{},
		reactor.ListenOptions{Loop: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := ln.Start(); err != nil {
		fmt.Println(err)
		return
	}
	turn()
	peer, err := sys.Dial("tcp", "127.0.0.1:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	turn()
	buf := make([]byte, 10)
	_, err = peer.Read(buf)
	fmt.Println(err == syscall.EAGAIN)
	sys.Advance(time.Second)
	turn()
	n, err := peer.Read(buf)
	fmt.Printf("%s %v\n", buf[:n], err)
	// Output:
	// true
	// a second <nil>
}
