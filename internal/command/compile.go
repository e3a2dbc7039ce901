package command

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest/compile"
	"github.com/wirehost/wirehost/plugins"
)

// compileCommand is what this program calls itself with, to compile a module in
// a process of its own.
const compileCommand = "compile-module"

func newCompile(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    compileCommand + " REQUEST",
		Short:  "Compile the module on standard input; a server calls this by itself",
		Hidden: true,
		Args:   arguments("REQUEST"),
		RunE: func(_ *cobra.Command, args []string) error {
			return compile.Run(args[0], os.Stdin, a.stdout)
		},
	}
}

// options are what each command's host is given.
func (a *app) options() (host.Options, error) {
	self, err := itself()
	if err != nil {
		return host.Options{}, fmt.Errorf("finding this program's own file, which compiles modules: %w", err)
	}
	return host.Options{Builtin: plugins.Builtin, Compiler: []string{self, compileCommand}}, nil
}

// itself is the path of this program: on Linux that of what runs, whatever lies
// where it was started from.
func itself() (string, error) {
	const running = "/proc/self/exe"
	if runtime.GOOS == "linux" {
		if _, err := os.Stat(running); err == nil {
			return running, nil
		}
	}
	return os.Executable()
}
