// Package changes makes changes of a host that wait for their turn.
package changes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wirehost/wirehost/host"
)

// tries and Wait let another change take two minutes: compile_time twice. Who waits for an
// answer has asked, and Wait, half a minute.
const (
	tries = 1200
	asked = 300
	// Wait is the time between two tries.
	Wait = 100 * time.Millisecond
)

// Patiently calls change, and again after each wait while another change is under
// way, such as of a module file that was written: a SIGHUP must not be lost. ctx
// ends the waiting.
func Patiently(ctx context.Context, wait time.Duration, change func() error) error {
	return patiently(ctx, wait, tries, change)
}

// Asked is Patiently for who waits for an answer, unless that wants one at once.
func Asked(ctx context.Context, wait time.Duration, change func() error) error {
	if ctx.Value(atOnce{}) != nil {
		return change()
	}
	err := patiently(ctx, wait, asked, change)
	if errors.Is(err, host.ErrChanging) {
		return fmt.Errorf("waited %v for a turn: %w", asked*wait, err)
	}
	return err
}

type atOnce struct{}

// AtOnce has Asked wait for nothing: what the change was asked for under may not hold later.
func AtOnce(ctx context.Context) context.Context { return context.WithValue(ctx, atOnce{}, true) }

func patiently(ctx context.Context, wait time.Duration, tries int, change func() error) error {
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
