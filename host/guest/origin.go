package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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
	ptr     uint32           // of the receive buffer
	size    uint32           // likewise, in bytes
	prefix  string           // as the guest gave it
	clock   time.Duration    // of the guest, when it was made
	metrics []compile.Metric // of the guest, then, in the order of their ids
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
	parts := nonZero(c.bytes())
	im, err := imageOfParts(parts)
	if err != nil {
		g.tellNoImage(err)
		return nil
	}
	if im.why != nil {
		g.tellNoImage(im.why)
	}
	o := &origin{image: im, pages: c.pages(), ptr: i.recvPtr, size: i.recvCap, prefix: i.prefix, clock: g.clocks.Now()}
	for _, v := range c.globals {
		o.globals = append(o.globals, v.Get())
	}
	for _, s := range g.metrics.all() {
		o.metrics = append(o.metrics, compile.Metric{Kind: s.kind, Name: s.name})
	}
	// What is quick is not worth a file, and a refusal may not hold longer than this version.
	if !i.brief && !i.unmeasured && len(o.metrics) <= maxFiledMetrics && (g.has[exStart] || g.has[exInitialize]) {
		if err := g.program.starts.Keep(o.file(g.startKey(), parts)); err != nil {
			g.account.warn(startFileNote, "version", g.name, "err", err)
		}
	}
	if !g.adopt(o) {
		return nil
	}
	c.based = true
	if err := im.replace(c.linear); err != nil { // the pages that nobody writes are there once
		return fmt.Errorf("%s: %w: its image: %w", g.name, ErrNoRoom, err)
	}
	return nil
}

// maxFiledMetrics is how many metrics a start may have whose file is kept: they stand in its
// header.
const maxFiledMetrics = 256

// startKey tells apart what the starts of a program may have read.
func (g *Guest) startKey() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d ", g.most, len(g.config))
	h.Write(g.config)
	fmt.Fprint(h, g.assets.Sum())
	return hex.EncodeToString(h.Sum(nil))
}

// file is what the cache keeps of an origin, with what is not zero in its memory.
func (o *origin) file(key string, parts []compile.Segment) compile.Start {
	return compile.Start{Key: key, Pages: o.pages, Globals: o.globals, Buffer: o.ptr, Capacity: o.size,
		Prefix: o.prefix, Clock: int64(o.clock), Metrics: o.metrics, Memory: parts}
}

// findOrigin is the guest's origin; nil where its first start is still to come. On no
// loop it looks into the cache for one.
func (g *Guest) findOrigin(brief bool) *origin {
	if o := g.origin.Load(); o != nil || !g.images || brief {
		return o
	}
	g.looking.Lock()
	defer g.looking.Unlock()
	if o := g.origin.Load(); o != nil || g.looked {
		return o
	}
	g.looked = true
	if err := g.readOrigin(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.account.warn(startFileNote, "version", g.name, "err", err)
	}
	return g.origin.Load()
}

// readOrigin reads an origin from the cache. One whose clock is ahead of this host's is
// not used: for a guest, time never goes back.
func (g *Guest) readOrigin() error {
	st, err := g.program.starts.Load(g.startKey())
	if err != nil {
		return err
	}
	size := uint64(st.Pages) * wasmPage
	if time.Duration(st.Clock) > g.clocks.Now() || len(st.Globals) != g.program.gate.Globals || size > g.most ||
		st.Capacity < 1 || uint64(st.Buffer)+uint64(st.Capacity) > size {
		return nil
	}
	if !g.defineAgain(st.Metrics) {
		return nil
	}
	im, err := imageOfParts(st.Memory)
	if err != nil {
		return err
	}
	g.adopt(&origin{image: im, pages: st.Pages, globals: st.Globals, ptr: st.Buffer, size: st.Capacity,
		prefix: st.Prefix, clock: time.Duration(st.Clock)})
	return nil
}

// startFileNote is the line of a start that the cache does not keep, or give.
const startFileNote = "the image of the plugin's start is not in the cache: it is made anew"

// adopt makes o the origin, if there is none, and tells whether it did.
func (g *Guest) adopt(o *origin) bool {
	if g.origin.CompareAndSwap(nil, o) {
		g.program.keep(o.image)
		return true
	}
	_ = o.image.close() // the other one serves as well
	return false
}

// tellNoImage says that instances of the guest share nothing of its start.
func (g *Guest) tellNoImage(err error) { g.account.warn(imageNote, "version", g.name, "err", err) }

// imageNote is the line of a guest whose instances share no image of its start.
const imageNote = "no image of the plugin's start in a file in memory: each instance has a copy of its own"

// canImage tells whether a program's instances can be made from an image.
func canImage(i gate.Info) bool { return compile.HasImages && i.Plain == "" }
