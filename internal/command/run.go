// Package command is the program wirehost: its commands, flags, signals and exit
// codes. The mains in cmd/ are a line each.
package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
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
	a := &app{args: args, env: env, stdout: stdout, stderr: stderr, compiler: host.CompileIfAsked()}
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
		if wantsJSON(cmd, args) {
			a.tellJSON(err, fmt.Sprintf("see '%s --help'", cmd.CommandPath()))
			return exitUsage
		}
		fmt.Fprintf(a.stderr, "wirehost: %s; see '%s --help'\n", lines.Visible(err.Error()), cmd.CommandPath())
		return exitUsage
	case wantsJSON(cmd, args):
		a.tellJSON(err, "")
		return exitFailed
	}
	for _, line := range lines.Of(err) {
		fmt.Fprintln(a.stderr, "wirehost:", line)
	}
	return exitFailed
}

// failure is an error for programs.
type failure struct {
	Error  string   `json:"error"`
	Faults []string `json:"faults,omitempty"` // where there are several: each one's line
	Hint   string   `json:"hint,omitempty"`
	// Of what a host has answered: what kind of problem it is (its README.md has them),
	// HTTP's status, and the version that is active after a change that failed.
	Kind    string `json:"kind,omitempty"`
	Status  int    `json:"status,omitempty"`
	Running string `json:"running,omitempty"`
}

// wantsJSON tells whether a command was to print JSON: by its flag, or where the command
// line could not be read to its end, by what it has.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	f := cmd.Flags().Lookup("output")
	if f == nil || f.Value.Type() != new(output).Type() {
		return false
	}
	for n, arg := range args {
		switch {
		case arg == "--":
			return f.Value.String() == "json"
		case arg == "-ojson", arg == "-o=json", arg == "--output=json":
			return true
		case (arg == "-o" || arg == "--output") && n+1 < len(args) && args[n+1] == "json":
			return true
		}
	}
	return f.Value.String() == "json"
}

// tellJSON writes what is wrong to standard error, for programs.
func (a *app) tellJSON(err error, hint string) {
	out := failure{Hint: hint}
	var p *admin.Problem
	if errors.As(err, &p) {
		out.Faults, out.Status, out.Running = p.Faults, p.Status, p.Running
		_, out.Kind, _ = strings.Cut(p.Type, "#")
		out.Error = p.Detail
	} else if out.Faults = lines.Of(err); len(out.Faults) > 0 {
		out.Error = strings.Join(out.Faults, "; ")
	}
	if len(out.Faults) == 1 {
		out.Faults = nil
	}
	_ = printJSON(a.stderr, out) // there is nobody else to tell
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
