package compile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// Request is what a compiler process is asked for.
type Request struct {
	Version Version `json:"version"` // the server's
	Dir     string  `json:"dir"`     // an empty folder, which becomes the entry
	Key     string  `json:"key"`     // tells modules apart
	Sum     string  `json:"sum"`     // SHA-256 of the module, in hex
	Limits  Limits  `json:"limits"`
	Memory  int64   `json:"memory"`  // bytes that the process may take; 0 = any number
	Machine bool    `json:"machine"` // machine code is wanted; else the module is only tried

	Unmetered bool `json:"-"` // for benchmarks, within the process alone
}

// Version is what a server and its compiler must have in common.
type Version struct {
	Format   int    `json:"format"`
	Wirehost string `json:"wirehost"`
	Wazero   string `json:"wazero"`
}

func (v Version) String() string {
	return fmt.Sprintf("wirehost %s with wazero %s (format %d)", v.Wirehost, v.Wazero, v.Format)
}

// thisVersion is this program's.
func thisVersion() Version {
	v := Version{Format: entryFormat}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Wirehost = info.Main.Version
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/wirehost/wirehost": // of an embedding program
			v.Wirehost = m.Version
		case "github.com/tetratelabs/wazero":
			v.Wazero = m.Version
		}
	}
	return v
}

// answer is what a compiler process says.
type answer struct {
	Version Version  `json:"version"`
	Faults  []string `json:"faults,omitempty"`  // the module's
	Changed bool     `json:"changed,omitempty"` // the module is not the one that was asked for
	Failed  string   `json:"failed,omitempty"`  // what is wrong here, and not with the module
}

// Run is the whole of a compiler process: request is the one argument after
// those that [Compiler].Command names, module its standard input, and out its
// standard output. It changes the limits and the priority of this process. The
// error is one of the answer's writing, or of its own use.
func Run(request string, module io.Reader, out io.Writer) error {
	var q Request
	if err := json.Unmarshal([]byte(request), &q); err != nil {
		return fmt.Errorf("found no request of a server, wanted one (a server calls this command by itself): %w", err)
	}
	a := answer{Version: thisVersion()}
	if a.Version == q.Version {
		if err := limitProcess(q.Memory); err != nil {
			a.Failed = "limiting the process: " + err.Error()
		} else {
			a.take(run(q, module))
		}
	}
	return json.NewEncoder(out).Encode(a)
}

func (a *answer) take(err error) {
	var r *Refusal
	switch {
	case err == nil:
	case errors.As(err, &r):
		a.Faults = r.Faults
	case errors.Is(err, errChanged):
		a.Changed = true
	default:
		a.Failed = err.Error()
	}
}

// errChanged says that the module's bytes are not those that the server has seen.
var errChanged = errors.New("the file changed while it was read")

// run compiles the module that is read.
func run(q Request, module io.Reader) error {
	b, err := q.read(module)
	if err != nil {
		return err
	}
	return build(context.Background(), q.Dir, b, q)
}

// read reads the module that was asked for.
func (q Request) read(module io.Reader) ([]byte, error) {
	if q.Limits.Module > 0 {
		module = io.LimitReader(module, q.Limits.Module+1)
	}
	b, err := io.ReadAll(module)
	if err == nil && sumOf(b) != q.Sum {
		err = errChanged
	}
	return b, err
}
