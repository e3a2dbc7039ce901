package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// silence is how long a command waits before it says for what.
const silence = 2 * time.Second

// waiting says what the command waits for, and how long, until stop is called: on a
// terminal alone, and not where that is soon.
func (a *app) waiting(what string) (stop func()) {
	if f, ok := a.stderr.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return tellWaiting(a.stderr, what)
		}
	}
	return func() {}
}

// tellWaiting writes one line, over itself, and takes it away in the end.
func tellWaiting(w io.Writer, what string) (stop func()) {
	done := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		began, line := time.Now(), ""
		for next := silence; ; next = time.Second {
			select {
			case <-done:
				if line != "" {
					fmt.Fprint(w, "\r", strings.Repeat(" ", len(line)), "\r")
				}
				return
			case <-time.After(next):
				line = fmt.Sprintf("%s, %.0f s", what, time.Since(began).Seconds())
				fmt.Fprint(w, "\r", line)
			}
		}
	})
	return sync.OnceFunc(func() { close(done); told.Wait() })
}
