package tlsrecord

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// now is the processor time that the thread has used: other processes' load
// does not count.
func now(tb testing.TB) time.Duration {
	tb.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}
