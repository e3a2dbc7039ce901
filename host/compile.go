package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/fetch"
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

// newLoader finds out what runs guests here, and opens the cache of what was compiled,
// with a folder beside it for what was fetched.
func (h *Host) newLoader(ctx context.Context) (*guest.Loader, error) {
	cache, dir := h.cfg.Cache, cacheDir(h.cfg.Cache.Dir, h.log)
	modules := fetch.Options{Size: int64(cache.Size)}
	if dir != "" {
		modules.Dir = filepath.Join(dir, "modules")
	}
	if h.sources.fetch == nil { // a test has its own
		h.sources.fetch = fetch.New(modules)
	}
	return guest.NewLoader(ctx, guest.LoaderOptions{Compiler: h.o.Compiler, Dir: dir, Size: int64(cache.Size),
		Logger: h.log})
}

// cacheDir is the folder of the cache on disk; "" where there is none.
func cacheDir(dir string, log hclog.Logger) string {
	switch dir {
	case "off":
		return ""
	case "":
		base, err := os.UserCacheDir()
		if err != nil {
			log.Warn("no cache of compiled modules: starts will be slower; set cache.dir to a folder "+
				"that can be written", "err", err)
			return ""
		}
		return filepath.Join(base, "wirehost")
	}
	return dir
}
