// Command guest is one of the servers of package same as a plugin: which, says its
// configuration.
package main

import (
	"net"
	"runtime/debug"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"

	"github.com/wirehost/wirehost/bench/same"
)

func init() {
	key := same.Key() // ed25519 makes tables at its first use: they are in the image then, as in examples/ssh
	if sig, err := key.Sign(nil, nil); err == nil {
		_ = key.PublicKey().Verify(nil, sig)
	}
	debug.SetMemoryLimit(40 << 20) // of the 64 MiB that a guest gets
	var serve func(net.Listener) error
	wirehost.Register(wirenet.Serve(func(ln net.Listener) error { return serve(ln) }, wirenet.Options{
		Start: func(r *wirehost.Reactor) (err error) {
			var name string
			if err = r.Config(&name); err == nil {
				serve, err = same.Server(name)
			}
			return err
		},
	}))
}

func main() {}
