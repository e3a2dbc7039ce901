package meter

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessClock is the processor time that the process has used on all its
// threads, for NewGuard; nil where there is no such clock. Any goroutine.
func ProcessClock() func() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return nil
	}
	return func() time.Duration {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // it went well before
		return time.Duration(t.Nano())
	}
}
