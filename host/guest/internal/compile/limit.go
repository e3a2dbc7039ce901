package compile

import "runtime/debug"

// setMemory has Go's collector work harder near the limit, and ends a recursion
// long before its stack would take all of it: a stack doubles, and while it does,
// both halves are there.
func setMemory(memory int64) {
	const mostStack = 128 << 20
	stack := int64(mostStack)
	if memory > 0 {
		debug.SetMemoryLimit(memory / 4 * 3)
		stack = min(stack, memory/4)
	}
	debug.SetMaxStack(int(stack))
}
