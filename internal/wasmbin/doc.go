// Package wasmbin reads and writes the WebAssembly binary format, version 1,
// with the proposals of WebAssembly 2.0 (mutable globals, sign extension,
// saturating conversions, multi-value, bulk memory, reference types and 128-bit
// SIMD). It knows no runtime: [Decode] gives a [Module] that can be described,
// changed and encoded again.
//
// What it does not know it refuses, with an [Error] that has the byte offset.
// It checks the structure and every index in it, not the types of the code;
// that is the runtime's part.
//
// Decode never panics, and the memory that it takes is proportional to its
// input. What would cost a runtime out of proportion to its size is bounded:
// [MaxFunctions] and those beside it. A Module keeps slices of the bytes that it was decoded from: they must
// not be changed while it is in use.
package wasmbin
