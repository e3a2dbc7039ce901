// Package command is the program wirehost: its commands, flags, signals and exit
// codes. The mains in cmd/ are a line each.
package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wirehost/wirehost/host"
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
	a := &app{env: env, stdout: stdout, stderr: stderr}
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
		fmt.Fprintf(a.stderr, "wirehost: %s; see '%s --help'\n", visible(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	for _, line := range faults(err) {
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

// faults are err's messages, one a line: each error of a join, each fault of a
// module.
func faults(err error) []string {
	var lines []string
	var le *host.LoadError
	switch e := err.(type) { //nolint:errorlint // a wrapped join's text begins with what wraps it
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			lines = append(lines, faults(one)...)
		}
		return lines
	case *host.LoadError:
		le = e
	}
	if le != nil && len(le.Faults) > 0 {
		for _, f := range le.Faults {
			one := host.LoadError{Plugin: le.Plugin, Module: le.Module, Faults: []string{f}}
			lines = append(lines, visible(one.Error()))
		}
		return lines
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, visible(line))
		}
	}
	return lines
}
