package jumps

// A jump that became direct need not set the dispatch's local any more, if
// nothing reads what it set. That is known where the body has one dispatch, which
// no other loop goes round, so that its br_table alone can come to read the local
// behind the jump; and where each branch that still goes to the loop, and each
// local.get, comes directly behind a local.set or local.tee of its own: no block
// ends, and no loop or else starts, between the two. Otherwise every jump goes on
// to set the local.

// found notes that a dispatch was found.
func (t *threader) found() {
	t.keep = t.keep || len(t.all) > 2 || t.loops > 1
	t.known = false
}

// sets notes that a local is set.
func (t *threader) sets(local uint32) {
	t.known = t.known || len(t.all) > 1 && local == t.all[1].local
}

// meets notes a place to which other paths lead.
func (t *threader) meets() { t.known = false }

// reads notes that a local is read.
func (t *threader) reads(local uint32) {
	t.keep = t.keep || len(t.all) > 1 && local == t.all[1].local && !t.known
}

// goesRound notes a branch to the dispatch, which reads its local.
func (t *threader) goesRound() { t.keep = t.keep || !t.known }
