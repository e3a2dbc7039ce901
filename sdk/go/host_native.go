//go:build !wasip1

package wirehost

type host = Host

// NewGuest makes an instance of a plugin whose server is h, with f in place of
// the Factory that Register gave.
func NewGuest(h Host, f Factory) Guest {
	g := newGuest(h, f)
	g.sockets = socketCalls{}
	return g
}

// Instance is for package datagram, in a guest; natively it panics.
func Instance() Guest { panic("wirehost: Instance outside of a guest") }

// Register says which Factory builds the protocols. Natively it does nothing:
// a test gives its Factory to sdktest.
func Register(f Factory) {
	if f == nil {
		panic("wirehost: Register(nil)")
	}
}
