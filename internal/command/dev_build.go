package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// builder runs a project's build.
type builder struct {
	dir   string
	words []string      // the command
	time  time.Duration // that it may take; 0 = buildTime
}

func (b builder) String() string { return strings.Join(b.words, " ") }

const (
	// buildGrace is how long a build that must end has to tidy up: make removes
	// what it has half made.
	buildGrace = time.Second
	// buildOutput is how many bytes of what a build prints are kept: its first,
	// since what follows the first error often follows from it.
	buildOutput = 256 << 10
)

// run builds, and returns what the build printed. It ends all of the build's
// processes when ctx is done or time is over.
func (b builder) run(ctx context.Context) (output string, err error) {
	limit := b.time
	if limit <= 0 {
		limit = buildTime
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(timed, b.words[0], b.words[1:]...)
	cmd.Dir = b.dir
	var out head
	cmd.Stdout, cmd.Stderr = &out, &out // one writer: the lines stay in order
	group := ownGroup(cmd)
	var force *time.Timer
	cmd.Cancel = func() error {
		force = time.AfterFunc(buildGrace, group.kill)
		return group.end()
	}
	cmd.WaitDelay = 2 * buildGrace
	err = cmd.Run()
	if force != nil {
		force.Stop()
		group.kill() // those that did not obey
	}
	switch {
	case timed.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("it took longer than %s and was ended; --build-timeout sets another limit", limit)
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it ended well, and left a process that holds its output
	}
	return out.String(), err
}

// head keeps the first of what is written to it.
type head struct {
	text strings.Builder
	more int // bytes that were not kept
}

func (h *head) Write(b []byte) (int, error) {
	keep := min(len(b), buildOutput-h.text.Len())
	h.text.Write(b[:keep])
	h.more += len(b) - keep
	return len(b), nil
}

func (h *head) String() string {
	if h.more == 0 {
		return h.text.String()
	}
	return fmt.Sprintf("%s\n(and %s more)", h.text.String(), plural(h.more, "byte"))
}
