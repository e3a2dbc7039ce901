// Package meter writes metering into a WebAssembly module, so that nothing a
// guest does holds a processor for long, and no callback runs or recurses
// without bound.
//
// wazero compiles a loop into machine code in which Go can neither stop it nor
// the world. Rewrite adds two globals to the module: fuel, in units of about a
// machine instruction, and stack, in bytes. Functions and loops take from the
// fuel; when it is below zero they call a host function, which is where Go's
// scheduler and collector get their turn, and which reads the clock. Functions
// that can recurse take their frame from the stack, and give it back.
// Instructions on ranges (memory.fill and the like) work in pieces. Tables get
// a maximum. References are made once an instance. What Rewrite doesn't
// understand, or what is out of all proportion, it refuses.
//
// # How a host uses it
//
// Once for a module:
//
//	metered, info, err := meter.Rewrite(module, meter.Options{})
//
// Once for a wazero.Runtime, before the first instance:
//
//	err := meter.Instantiate(ctx, runtime)
//
// Once for an instance:
//
//	guard := meter.NewGuard(clock, nil)
//	ctx := meter.With(ctx, guard)
//	guard.Arm(startTimeout) // instantiation runs guest code, too
//	instance, err := runtime.InstantiateModule(ctx, compiled, config)
//
// For each callback, with that same ctx; Arm takes a nanosecond and reads no
// clock:
//
//	guard.Arm(callbackTime)
//	err := export.CallWithStack(ctx, stack)
//
// Where err is not nil, errors.Is tells [ErrTime] and [ErrStack] from wazero's
// own traps. After any trap the instance must be discarded: what it had taken of
// its stack does not come back.
//
// # What it does not bound
//
// Linear memory: give the runtime an experimental.MemoryAllocator, or
// WithMemoryLimitPages; [Measure] tells what else an instance takes. Time spent in host functions: a guest pays 200
// units for
// each call; one that can take long calls [Guard.Check]. Compilation: a bound on
// the size of the file, and a deadline. Instantiation copies data and element
// segments in one go, which the bounds of package wasmbin and the size of the
// file keep below a quarter of a second; see RATIONALE.md.
//
// Host functions must not call back into the instance that called them (rule 2
// of the ABI): the stack is counted in cycles of the module's own call graph.
package meter
