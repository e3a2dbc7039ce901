// Command guest is package names as a plugin.
package main

import (
	"net"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // it takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"

	"github.com/wirehost/wirehost/bench/same/names"
)

func init() {
	wirehost.Register(wirenet.Serve(func(net.Listener) error { select {} },
		wirenet.Options{Name: "dns", ServePacket: names.Serve}))
}

func main() {}
