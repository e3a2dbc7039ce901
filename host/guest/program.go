package guest

import (
	"context"
	"errors"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/guest/internal/compile"
	"github.com/wirehost/wirehost/internal/gate"
)

// wasmPage is the unit of linear memory.
const wasmPage = 64 << 10

// Program is a module that is compiled and loaded, in a Runtime of its own: guests that
// do not trust each other share none. Any goroutine.
type Program struct {
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	image    *image   // what its instances' memories hold at the start; nil where wazero copies it
	exports  []string // those of the contract that the module has
	gate     gate.Info
	starts   compile.Starts
	release  func(context.Context) error

	mu   sync.Mutex
	kept []*image // of its guests' starts
}

// Close frees a program. No instance of it may be in use. The machine code lies
// in a cache that Runtimes share, and must be given back by itself.
func (p *Program) Close(ctx context.Context) error {
	errs := []error{p.rt.Close(ctx)}
	if p.compiled != nil {
		errs = append(errs, p.compiled.Close(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, im := range p.kept {
		errs = append(errs, im.close())
	}
	return errors.Join(append(errs, p.image.close(), p.release(ctx))...)
}

// keep has an image end with the program.
func (p *Program) keep(im *image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, im)
}

// SharedImages is how many bytes the images have that are files in memory: what
// instances map of them is there once. Any goroutine.
func (g *Guest) SharedImages() uint64 {
	p := g.program
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.image.fileSize()
	for _, im := range p.kept {
		n += im.fileSize()
	}
	return n
}

// mostMemory is what the module's linear memory may grow to, in bytes.
func (p *Program) mostMemory(limit uint64) uint64 {
	most := uint64(1 << 32)
	if m := p.compiled.ExportedMemories()[abi.ExportMemory]; m != nil {
		if pages, ok := m.Max(); ok {
			most = uint64(pages) * wasmPage
		}
	}
	if limit > 0 {
		most = min(most, limit)
	}
	return max(most, wasmPage)
}
