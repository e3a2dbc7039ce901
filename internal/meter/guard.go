package meter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// What a metered module imports. A module that imports or exports anything of
// that name before is refused.
const (
	ModuleName = "wirehost_meter"
	RefillName = "refill"

	// exported for tests
	fuelName  = ModuleName + ".fuel"
	stackName = ModuleName + ".stack"
)

// Causes of a trap, to be found with errors.Is in what a call into the guest
// returns.
var (
	// ErrTime says that the callback took longer than its limit.
	ErrTime = errors.New("meter: callback over its time limit")
	// ErrStack says that the calls nest deeper than the stack allows.
	ErrStack = errors.New("meter: call stack exhausted")
	// ErrUnguarded says that the call's context carries no Guard.
	ErrUnguarded = errors.New("meter: no guard in the call's context")
)

// DefaultSlice is how much fuel one refill gives: 10 to 40 µs of ordinary code,
// 1.5 ms of code that misses every cache, 7 ms of code that touches a page for
// the first time with each instruction; see RATIONALE.md.
const DefaultSlice = 48_000

// stackIsOut is what a guest gives refill when its stack is used up; fuel never
// gets there.
const stackIsOut = math.MinInt64

// Guard holds one instance to its limits. Only the goroutine that calls the
// instance may use it. It is made once for an instance, and ends with it.
type Guard struct {
	clock, cpu func() time.Duration
	limit      time.Duration
	used       time.Duration
	last       time.Duration // on clock
	lastCPU    time.Duration // on cpu, once cpuKnown
	fresh      bool
	cpuKnown   bool
	slice      int64 // fuel of a refill
	once       int64 // that of the next one alone, where it is above 0
}

// NewGuard returns a guard that reads a monotonic clock, and cpu, the process's
// processor time, by which time does not count in which the process had no
// processor; nil where there is no such clock. A guard that was never armed lets
// nothing run for longer than a slice.
func NewGuard(clock, cpu func() time.Duration) *Guard {
	return &Guard{clock: clock, cpu: cpu, slice: DefaultSlice}
}

// Arm starts a new callback, which may take as long as limit. It reads no clock
// and touches nothing of the guest: what fuel the last callback left is the next
// one's, and a callback that is done before it is used up costs nothing more.
func (g *Guard) Arm(limit time.Duration) {
	g.limit, g.used, g.fresh, g.cpuKnown = limit, 0, true, false
}

// Used is how long the callback has run, as far as it is known: 0 for one that
// ended within its first slice of fuel.
func (g *Guard) Used() time.Duration { return g.used }

// Check reads the clock in the middle of a callback, and panics with ErrTime as
// the guest's own code would. A host function that can take long, such as one
// that copies or logs a range of any length, calls it at its start.
func (g *Guard) Check() {
	now := g.clock()
	if g.fresh {
		g.fresh = false
	} else {
		// A gap far over a slice is rarely the guest's doing: the process was
		// stopped, or had no processor. One alone never ends a callback.
		g.used += g.busy(min(now-g.last, g.limit/2))
	}
	g.last = now
	if g.used >= g.limit {
		panic(fmt.Errorf("%w of %v", ErrTime, g.limit))
	}
}

// busy is how much of a gap counts: no more than the processor time that the
// process had in it. Reading that is a system call, so only callbacks that have
// used a quarter of their limit pay for it.
func (g *Guard) busy(gap time.Duration) time.Duration {
	if g.cpu == nil || g.used < g.limit/4 {
		return gap
	}
	cpu := g.cpu()
	if g.cpuKnown {
		gap = min(gap, cpu-g.lastCPU)
	}
	g.lastCPU, g.cpuKnown = cpu, true
	return gap
}

// refill gets the fuel when it is below zero, and returns the new one. It runs
// on the goroutine of the call.
func (g *Guard) refill(fuel int64) int64 {
	if fuel == stackIsOut {
		panic(ErrStack)
	}
	g.Check()
	if once := g.once; once > 0 {
		g.once = 0
		return once
	}
	return g.slice
}

// Shorten has the next refill alone give so much fuel, from 1 unit to a whole slice. Where
// that is less than a loop's head takes, the guest asks for more at once, and goes on only
// when that is enough.
func (g *Guard) Shorten(fuel int64) { g.once = min(fuel, g.slice) }

type guardKey struct{}

// With returns a context that carries g. Make it once for each instance, and
// give it to Instantiate and to all calls.
func With(ctx context.Context, g *Guard) context.Context {
	return context.WithValue(ctx, guardKey{}, g)
}

func refill(ctx context.Context, stack []uint64) {
	g, ok := ctx.Value(guardKey{}).(*Guard)
	if !ok {
		panic(ErrUnguarded)
	}
	stack[0] = uint64(g.refill(int64(stack[0])))
}

// Instantiate puts the module that metered modules import into a runtime, once. A
// FunctionListenerFactory in ctx may have a listener for refill, which then sees the
// guest's stack each time that a slice of fuel is used up.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	i64 := []api.ValueType{api.ValueTypeI64}
	_, err := r.NewHostModuleBuilder(ModuleName).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(refill), i64, i64).Export(RefillName).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("meter: %w", err)
	}
	return nil
}
