package host_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// A host of one plugin that echoes, and a client.
func Example() {
	h, err := host.New(config.Config{
		Cache:     config.Cache{Dir: "off"},
		Plugins:   map[string]config.Plugin{"echo": {Module: "testdata/echo.wasm"}},
		Listeners: []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Plugin: "echo"}},
	}, host.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := h.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready:", h.Ready())

	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(h.Listeners()[0].Port)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "hello")
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s %v\n", answer, err)
	fmt.Println(h.Shutdown(ctx))
	// Output:
	// ready: true
	// hello <nil>
	// <nil>
}
