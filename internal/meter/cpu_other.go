//go:build !linux

package meter

import "time"

// ProcessClock is nil: time counts by the clock alone.
func ProcessClock() func() time.Duration { return nil }
