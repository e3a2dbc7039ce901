package reactor_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/wirehost/wirehost/reactor"
)

// shout answers in capitals.
type shout struct{ t reactor.Transport }

func (s *shout) ConnectionMade(t reactor.Transport) { s.t = t }

func (s *shout) DataReceived(p []byte) {
	for i, c := range p {
		if 'a' <= c && c <= 'z' {
			p[i] = c - 'a' + 'A' // p is ours until we return
		}
	}
	s.t.Write(p) // an error is told by ConnectionLost too
}

func (s *shout) ConnectionLost(reactor.Reason, error) {}

type shouts struct{}

func (shouts) BuildProtocol(reactor.Transport) (reactor.Protocol, error) { return &shout{}, nil }

// A server on a port that the system chooses, and a client.
func Example() {
	r, err := reactor.New(reactor.Config{Loops: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, err := reactor.ParseEndpoint("tcp://127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := r.Listen(endpoint, shouts{}, reactor.ListenOptions{Loop: -1}) // any loop
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(); err != nil {
		fmt.Println(err)
		return
	}
	if err := ln.Start(); err != nil {
		fmt.Println(err)
		return
	}

	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(ln.Endpoint().Port)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "hello")
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s %v\n", answer, err)
	fmt.Println(r.Shutdown(context.Background()))
	// Output:
	// HELLO <nil>
	// <nil>
}
