package changes

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
)

func TestAnotherChange(t *testing.T) {
	busy := fmt.Errorf("plugin a: %w", host.ErrChanging)
	other := errors.New("other")
	ended, end := context.WithCancel(context.Background())
	end()
	cases := []struct {
		name  string
		ctx   context.Context
		wait  time.Duration
		errs  []error // what the changes return, the last one for ever
		calls int
		want  error
	}{
		{"it ends", context.Background(), 0, []error{busy, busy, nil}, 3, nil},
		{"another error", context.Background(), 0, []error{busy, other}, 2, other},
		{"it does not end", context.Background(), 0, []error{busy}, tries, host.ErrChanging},
		{"this one is given up", ended, time.Hour, []error{busy}, 1, context.Canceled},
	}
	for _, tc := range cases {
		calls := 0
		err := Patiently(tc.ctx, tc.wait, func() error {
			calls++
			return tc.errs[min(calls, len(tc.errs))-1]
		})
		if calls != tc.calls || !errors.Is(err, tc.want) {
			t.Errorf("%s: found %d calls, %v, wanted %d, %v", tc.name, calls, err, tc.calls, tc.want)
		}
	}
}

// TestAsked: who waits for an answer waits for less long, is told so, and not where that is not
// to be.
func TestAsked(t *testing.T) {
	for _, tc := range []struct {
		ctx   context.Context
		calls int
		want  string
	}{
		{context.Background(), asked, "waited 300ns for a turn: plugin a: another change is under way"},
		{AtOnce(context.Background()), 1, "plugin a: another change is under way"},
	} {
		calls := 0
		err := Asked(tc.ctx, 1, func() error {
			calls++
			return fmt.Errorf("plugin a: %w", host.ErrChanging)
		})
		if calls != tc.calls || !errors.Is(err, host.ErrChanging) || err.Error() != tc.want {
			t.Errorf("found %d calls, %v, wanted %d, %s", calls, err, tc.calls, tc.want)
		}
	}
}
