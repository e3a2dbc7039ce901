//go:build !linux

package tlsrecord

import (
	"testing"
	"time"
)

var started = time.Now()

// now is the time on the wall, where the thread's is not to be had.
func now(testing.TB) time.Duration { return time.Since(started) }
