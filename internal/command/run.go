// Package command is the program wirehost: its commands, flags, signals and exit
// codes. The mains in cmd/ are a line each.
package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/lines"
)

// Exit codes.
const (
	exitFine   = 0
	exitFailed = 1 // could not start, or the request failed
	exitUsage  = 2 // wrong usage
	exitForced = 3 // ended by a second signal
)

// Run is the whole command: args without the program's name, env as from
// os.Environ. It returns the exit code, and may leave goroutines behind when
// that is that of a second signal.
func Run(args, env []string, stdout, stderr io.Writer) int {
	a := &app{env: env, stdout: stdout, stderr: stderr, compiler: host.CompileIfAsked()}
	defer a.unqueue()
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var usage *usageError
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errForced):
		return exitForced
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &usage), !a.begun: // cobra checks arguments first
		fmt.Fprintf(a.stderr, "wirehost: %s; see '%s --help'\n", lines.Visible(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	for _, line := range lines.Of(err) {
		fmt.Fprintln(a.stderr, "wirehost:", line)
	}
	return exitFailed
}

var ( // never changed
	// errForced ends serve at a second signal.
	errForced = errors.New("ended by a second signal")
	// errSaid fails a command that has said why.
	errSaid = errors.New("said already")
)

// usageError is a command line that can't be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
