package command

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaiting: what is soon over is not told, and what is not leaves a clean line.
func TestWaiting(t *testing.T) {
	for _, tc := range []struct {
		wait time.Duration
		want string
	}{
		{silence - 1, ""},
		{silence + 1, "\rloading a, 2 s\r              \r"},
		{silence + time.Second + 1, "\rloading a, 2 s\rloading a, 3 s\r              \r"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b strings.Builder
			stop := tellWaiting(&b, "loading a")
			time.Sleep(tc.wait)
			stop()
			if b.String() != tc.want {
				t.Errorf("%v: found %q, wanted %q", tc.wait, b.String(), tc.want)
			}
		})
	}
	var b strings.Builder
	(&app{stderr: &b}).waiting("nobody reads this")()
}
