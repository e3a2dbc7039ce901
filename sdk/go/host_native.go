//go:build !wasip1

package wirehost

type host = Host

// NewGuest makes an instance of a plugin whose server is h, with f in place of
// the Factory that Register gave.
func NewGuest(h Host, f Factory) Guest { return newGuest(h, f) }

// Register says which Factory builds the protocols. Natively it does nothing:
// a test gives its Factory to sdktest.
func Register(f Factory) {
	if f == nil {
		panic("wirehost: Register(nil)")
	}
}
