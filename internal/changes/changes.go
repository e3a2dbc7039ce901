// Package changes makes changes of a host that wait for their turn.
package changes

import (
	"context"
	"errors"
	"time"

	"github.com/wirehost/wirehost/host"
)

// tries and Wait let another change take two minutes: compile_time twice.
const (
	tries = 1200
	// Wait is the time between two tries of Patiently.
	Wait = 100 * time.Millisecond
)

// Patiently calls change, and again after each wait while another change is under
// way, such as of a module file that was written: a SIGHUP must not be lost. ctx
// ends the waiting.
func Patiently(ctx context.Context, wait time.Duration, change func() error) error {
	for n := 1; ; n++ {
		err := change()
		if n == tries || !errors.Is(err, host.ErrChanging) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
