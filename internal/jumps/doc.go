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
// The shape is all that counts, whoever made the module, and what the module
// does stays the same for every module. See RATIONALE.md.
package jumps
