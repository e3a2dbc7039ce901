package guest

import (
	"context"
	"fmt"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/meter"
)

// cell is a wazero instance with its linear memory: what an Instance is in while it
// runs. It belongs to its Instance, or to the pool of a place.
type cell struct {
	ctx     callContext
	guard   *meter.Guard
	mod     api.Module
	mem     api.Memory
	linear  *linearMemory
	call    api.Function        // the gate
	globals []api.MutableGlobal // those of the module that change
	based   bool                // its memory lies on the guest's origin, and can be put back to it
}

// callContext is the context of every call into a cell, and leads a host call back to
// the instance that is in it. It is never done.
type callContext struct {
	context.Context // with the guard
	inst            *Instance
}

// newCell makes a cell that nothing has run in. Where there is an origin its memory is
// that of it; its globals are the module's, which the caller sets.
func (g *Guest) newCell(o *origin) (_ *cell, err error) {
	linear, err := g.reserve()
	if err != nil {
		return nil, err
	}
	c := &cell{guard: meter.NewGuard(g.clocks.Spent, g.clocks.CPU), linear: linear}
	defer func() {
		if c.mod == nil { // wazero does not free what it could not finish
			linear.Free()
		} else if err != nil {
			_ = c.close() // why it is closed says more
		}
	}()
	if g.pages() {
		smallPages(linear)
	}
	ctx := meter.With(context.Background(), c.guard)
	c.ctx = callContext{Context: ctx}
	c.mod, err = g.program.rt.InstantiateModule(experimental.WithMemoryAllocator(ctx, linear.allocator()),
		g.program.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(noRandom{}))
	if err != nil {
		return nil, err
	}
	c.mem, c.call = c.mod.Memory(), c.mod.ExportedFunction(gate.CallName)
	for n := range g.program.gate.Globals {
		global, ok := c.mod.ExportedGlobal(gate.GlobalName(n)).(api.MutableGlobal)
		if !ok {
			return nil, fmt.Errorf("guest: found no global %d of the gate, wanted %d", n, g.program.gate.Globals)
		}
		c.globals = append(c.globals, global)
	}
	if o == nil {
		return c, g.putImage(linear, g.program.image)
	}
	if err := c.grow(o.pages); err != nil {
		return nil, err
	}
	c.based = true
	return c, g.putImage(linear, o.image)
}

// noRandom keeps wazero from making a source of random numbers for each cell, and for each
// of the host's modules, of 5 KB: guests ask the host.
type noRandom struct{}

// Read is not called.
func (noRandom) Read([]byte) (int, error) { return 0, io.EOF }

func (g *Guest) putImage(m *linearMemory, im *image) error {
	if err := im.put(m); err != nil {
		return fmt.Errorf("%s: %w: its image: %w", g.name, ErrNoRoom, err)
	}
	return nil
}

// grow has linear memory be of so many pages, where it is smaller.
func (c *cell) grow(pages uint32) error {
	have := c.pages()
	if pages <= have {
		return nil
	}
	c.linear.forced = true // it was that large before
	_, ok := c.mem.Grow(pages - have)
	c.linear.forced = false
	if !ok {
		return fmt.Errorf("%w: found no way to grow it from %d pages to %d", ErrNoRoom, have, pages)
	}
	return nil
}

// pages is the size of linear memory, in pages of WebAssembly.
func (c *cell) pages() uint32 { return c.mem.Size() / wasmPage }

// bytes is linear memory, all of it.
func (c *cell) bytes() []byte { return c.linear.bytes() }

// setGlobals gives the module's globals values.
func (c *cell) setGlobals(values []uint64) {
	for n, g := range c.globals {
		g.Set(values[n])
	}
}

// setFuel sets what the guest has left of its slice, where the gate leads to the meter's
// globals, which are the last two.
func (c *cell) setFuel(units int64) {
	if n := len(c.globals); n > 1 {
		c.globals[n-2].Set(uint64(units))
	}
}

func (c *cell) close() error { return c.mod.Close(context.Background()) }

// enter puts an instance into a cell.
func (i *Instance) enter(c *cell) {
	i.cell, i.mem, i.guard = c, c.mem, c.guard
	c.ctx.inst = i
}

// leave takes an instance out of its cell, which is no longer its own.
func (i *Instance) leave() *cell {
	c := i.cell
	i.cell, i.mem, i.guard = nil, nil, nil
	c.ctx.inst = nil
	return c
}
