// Package jumps rewrites jumps that go through a dispatch: a loop that starts
// with a br_table, to which all jumps of a function lead. Go's compiler makes
// each function such a loop, and each jump
//
//	i32.const 7; local.set 0; br $loop
//
// which goes round the loop, where `local.get 0; br_table` leads to a block's
// end. wazero's compiler then has all values of the function meet at one place.
// Where that block is still open at the jump, [Thread] makes the jump lead to it
// directly:
//
//	br $block
//
// Go's addresses have 64 bits, and are cut to 32 before each access:
//
//	local.get 1; i64.extend_i32_u; i64.const 8; i64.add; i32.wrap_i64; i64.load
//
// [Narrow] computes them in 32 bits, and where it is known that the sum has no more,
// makes an offset of the constant:
//
//	local.get 1; i64.load offset=8
//
// The shape is all that counts, whoever made the module, and what the module
// does stays the same for every module. See RATIONALE.md.
package jumps
