//go:build unix

package reactor

import (
	"math"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// keptBack is how many descriptors connections leave to others: administration, monitors,
// modules and certificates that are read, processes that compile, and one for each loop that
// parks. Of a limit below four times as many it is a quarter.
const keptBack = 32

// kept knows which descriptors are kept back: the system gives the lowest that is free, so
// one from there on says that all below are taken.
type kept struct{ from atomic.Int64 }

// has tells whether fd, of a new connection, is one of them. The limit may have been
// changed since it was last looked at.
func (k *kept) has(fd int) bool {
	if int64(fd) < k.from.Load() {
		return false
	}
	k.look()
	return int64(fd) >= k.from.Load()
}

func (k *kept) look() {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || uint64(lim.Cur) > math.MaxInt32 {
		k.from.Store(math.MaxInt64)
		return
	}
	k.from.Store(int64(lim.Cur) - min(keptBack, int64(lim.Cur)/4))
}
