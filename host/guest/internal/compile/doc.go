// Package compile makes machine code of modules that nobody trusts: in a process
// of its own, since wazero's decoder and compiler can be made to overflow the
// stack or to take all memory, which nothing in Go can catch; into a folder,
// from which the server loads it.
//
// A [Compiler] is what the server has. Its Entry has a compiler process compile a
// module, or compiles in this one where none is configured. [Run] is what that
// process does: a program that embeds package host calls it by host.CompileIfAsked.
// What is made is an entry: a folder with the machine code in wazero's own format, and
// a stub, the module without its code, which is all that wazero needs to decode where
// the machine code is there already. So the server never sees a body that an enemy
// wrote, and keeps none (RATIONALE.md).
//
// All functions may be called from any goroutine.
package compile
