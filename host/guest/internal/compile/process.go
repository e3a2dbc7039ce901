package compile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSaid is how much of a compiler's output is kept, in bytes.
	maxSaid = 1 << 20
	// processWait is how long the pipes of a compiler that was killed may stay open.
	processWait = time.Second
	// asked is set in a compiler's environment: a program that has no host.CompileIfAsked
	// would start a server there, which starts a compiler, and so on without end.
	asked = "COMPILING_FOR_WIREHOST"
)

// apart has a compiler process build the entry of the module in, and tells what
// became of it.
func (c *Compiler) apart(ctx context.Context, in io.ReadCloser, q Request) error {
	defer in.Close()
	request, err := json.Marshal(q)
	if err != nil {
		return err
	}
	var out, said head
	command := c.o.Command
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], string(request))...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &said
	cmd.WaitDelay = processWait
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none", "GOMEMLIMIT=off", asked+"=1")
	err = runProcess(cmd)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var a answer
	if json.Unmarshal(out.b, &a) != nil || a.Version.Format == 0 {
		if len(said.b) == 0 {
			said = out
		}
		return c.died(err, said.b, q)
	}
	switch {
	case a.Version != q.Version:
		return fmt.Errorf("the compiler %s: found %s, wanted this server's, %s", command[0], a.Version, q.Version)
	case len(a.Faults) > 0:
		return &Refusal{a.Faults}
	case a.Changed:
		return errChanged
	case a.Failed != "":
		return &diskError{errors.New(a.Failed)}
	}
	return nil
}

// lastWords begin the line in which Go's runtime says why it ends a process. It
// says so in no other way.
var lastWords = []string{"fatal error: ", "panic: ", "runtime: out of memory", "runtime/cgo: "} // never changed

// ownSignals are those that a program gets for what it does itself. The others are
// sent: to all of a terminal's or a control group's processes, or by name.
var ownSignals = []os.Signal{ // never changed
	syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGTRAP,
}

// died says how a compiler ended that gave no answer.
func (c *Compiler) died(err error, said []byte, q Request) error {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("the compiler did not start: %w", err)
	}
	fatal := ""
	for line := range strings.Lines(string(said)) {
		if slices.ContainsFunc(lastWords, func(s string) bool { return strings.HasPrefix(line, s) }) {
			fatal = strings.TrimSpace(line)
			break
		}
	}
	if s, ok := signalOf(exit); ok && fatal == "" {
		if slices.Contains(ownSignals, s) {
			return refuse(fmt.Errorf("the compiler was ended by a signal: %v", s))
		}
		return fmt.Errorf("the compiler was ended by a signal: %v, and not by this server; the system may be out of "+
			"memory", s)
	}
	switch {
	case strings.Contains(fatal, "stack overflow"):
		return refuse(errors.New("the compiler ran out of stack: found code that nests too deep for it, wanted " +
			"smaller functions"))
	case strings.Contains(fatal, "out of memory"), strings.Contains(fatal, "cannot allocate memory"),
		strings.Contains(fatal, "pthread_create"):
		if limited() {
			return fmt.Errorf("the compiler ran out of memory: found a module that takes more than "+
				"limits.compile_memory, %s, "+
				"or than this server's own limits leave (ulimit -v, ulimit -d)", sizeText(q.Memory))
		}
		return refuse(fmt.Errorf("the compiler ran out of memory: found a module that takes more than "+
			"limits.compile_memory, %s; "+
			"raise it if the module is to be trusted with more", sizeText(q.Memory)))
	case fatal != "":
		return refuse(fmt.Errorf("the compiler failed: %.200s", fatal))
	}
	end := "exit status 0"
	if err != nil {
		end = err.Error()
	}
	return fmt.Errorf("the compiler %s gave no answer: found %s, %.200q, wanted a program that calls "+
		"host.CompileIfAsked",
		c.o.Command[0], end, firstLine(string(said)))
}

// sizeText is a number of bytes as it is configured, where that is a whole one.
func sizeText(n int64) string {
	if n <= 0 || n%(1<<20) != 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%dMiB", n>>20)
}

func signalOf(exit *exec.ExitError) (os.Signal, bool) {
	if exit == nil {
		return nil, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return nil, false
	}
	return status.Signal(), true
}

// head keeps the first maxSaid bytes of what is written to it.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxSaid-len(h.b))]...)
	return len(p), nil
}
