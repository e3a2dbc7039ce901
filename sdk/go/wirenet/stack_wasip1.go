package wirenet

// Go's runtime gives a new goroutine as much stack as those had in use, on average, that its
// last collection found. A guest has few then, and those wait: each request's goroutine would
// begin with 2 KiB, and be copied when it calls deeper. This one has much in use, and raises
// the average.
func init() { go deep() }

const deepBytes = 48 << 10 // of a stack of 64 KiB

//go:noinline
func deep() {
	var used [deepBytes]byte
	use(&used)
	select {}
}

//go:noinline
func use(p *[deepBytes]byte) { p[0] = 1 }
