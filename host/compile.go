package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/wirehost/wirehost/host/guest"
)

// compileWord is the argument that a program starts itself with, to compile a
// module; the request follows it.
const compileWord = "compile-module"

// CompileIfAsked is what a main calls before anything else, for Options.Compiler:
// where this process was started to compile a module, it does that and ends the
// process; else it returns the command line of this program as a compiler. On
// Linux that is the program that runs, whatever lies where it was started from.
func CompileIfAsked() (compiler []string) {
	if len(os.Args) == 3 && os.Args[1] == compileWord {
		if err := guest.RunCompiler(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	return []string{itself(), compileWord}
}

// itself is the path of this program.
func itself() string {
	const running = "/proc/self/exe"
	if runtime.GOOS == "linux" {
		if _, err := os.Stat(running); err == nil {
			return running
		}
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0] // the start says so where it is not found by that
	}
	return path
}
