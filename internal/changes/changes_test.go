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
