package meter

import (
	"errors"
	"fmt"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Bounds on what Rewrite takes from a module and what it makes of it, beside
// those of package wasmbin. wazero reads and validates the result in the host's
// own process, and so nothing in it may cost out of proportion.
const (
	// maxValues bounds the values that calls, blocks and branches of one function
	// take and leave: wazero's validator has a slot of 8 bytes for each that is on
	// the stack, so 5 MB of calls with 1,000 results would be 20 GB, and the compiler
	// makes 8 bytes of machine code for each. Found: 4,088.
	maxValues = 200_000
	// Those of all functions may be one for so many bytes of the module, and
	// slackValues more. Found: 640,000 in 18 MB.
	bytesPerValue = 8
	slackValues   = 500_000

	// maxGrowth is how many times as large as the module the rewritten code may
	// be: Go, Rust and C guests grow 1.03 to 1.21 times, empty loops 12. Small ones
	// may add slackGrowth.
	maxGrowth   = 3
	slackGrowth = 1 << 20

	// moduleNames bounds the bytes of the module's name, which wazero writes before
	// the name of each function.
	moduleNames = 4 << 20
)

// Errors of Rewrite.
var (
	// ErrReserved is a module that uses our names, such as one that is metered already.
	ErrReserved = errors.New("meter: names that start with " + ModuleName + " are the host's")
	// ErrTables is a module whose tables start out larger than allowed.
	ErrTables = errors.New("meter: tables are over the limit")
	// ErrSize is a module that is made to grow out of proportion.
	ErrSize = errors.New("meter: out of proportion")
)

// checkGrowth refuses code that has become too long.
func (p *plan) checkGrowth(code int) error {
	if most := maxGrowth*p.size + slackGrowth; code > most {
		return fmt.Errorf("%w: found more than %d bytes of metered code, wanted at most %d times the module's %d, "+
			"and 1 MiB", ErrSize, most, maxGrowth, p.size)
	}
	return nil
}

// countValues counts the values that an instruction takes and leaves, of which
// its bytes say nothing.
func (a *analyser) countValues(n int) { a.values += uint64(n) }

// checkValues refuses a function, or all so far, with too many of them.
func (a *analyser) checkValues() error {
	a.allValues += a.values
	if a.values > maxValues {
		return fmt.Errorf("%w: found %d values that calls and branches take and leave, wanted at most %d", ErrSize,
			a.values, maxValues)
	}
	if most := uint64(a.size/bytesPerValue + slackValues); a.allValues > most {
		return fmt.Errorf("%w: found more than %d values that calls and branches of all functions take and leave, "+
			"wanted no more in %d bytes", ErrSize, most, a.size)
	}
	return nil
}

// valuesOf counts what a type takes and leaves.
func valuesOf(t *wasmbin.FuncType) int { return len(t.Params) + len(t.Results) }
