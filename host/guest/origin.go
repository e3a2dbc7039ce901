package guest

import (
	"time"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
	"github.com/wirehost/wirehost/internal/gate"
)

// origin is what the first start of a guest has come to, before anything that each
// instance does for itself: what every other instance begins with. It is immutable.
type origin struct {
	image   *image // of linear memory, in which what is behind it is zero
	pages   uint32 // of linear memory
	globals []uint64
	ptr     uint32        // of the receive buffer
	size    uint32        // likewise, in bytes
	prefix  string        // as the guest gave it
	clock   time.Duration // of the guest, when it was made
}

// keepOrigin keeps what an instance is, right after its start, as the origin of all
// others. Where that is not possible, or the system refuses it, there is none.
func (g *Guest) keepOrigin(i *Instance) error {
	if !g.images || g.origin.Load() != nil {
		return nil
	}
	i.stdout.end(i) // it is not to be said again
	i.stderr.end(i)
	c := i.cell
	im, err := imageOf(c.bytes())
	if err != nil {
		g.account.warn(imageNote, "version", g.name, "err", err)
		return nil
	}
	o := &origin{image: im, pages: c.pages(), ptr: i.recvPtr, size: i.recvCap, prefix: i.prefix, clock: g.clocks.Now()}
	for _, v := range c.globals {
		o.globals = append(o.globals, v.Get())
	}
	if !g.adopt(o) {
		return nil
	}
	c.based = true
	return g.putImage(c.linear, im) // the pages that nobody writes are there once
}

// adopt makes o the origin, if there is none, and tells whether it did.
func (g *Guest) adopt(o *origin) bool {
	if g.origin.CompareAndSwap(nil, o) {
		g.program.keep(o.image)
		return true
	}
	_ = o.image.close() // the other one serves as well
	return false
}

// imageNote is the line of a guest whose instances are made without an image.
const imageNote = "no image of the plugin's start: each instance makes one of its own"

// canImage tells whether a program's instances can be made from an image.
func canImage(i gate.Info) bool { return compile.HasImages && i.Plain == "" }
