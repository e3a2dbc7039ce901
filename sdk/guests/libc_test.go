package sdk_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// The SDK in C and a C library share headers and memory, in one translation unit
// or several. The library is wasi-libc, which Zig's compiler brings along.
func TestWithCLibrary(t *testing.T) {
	need(t, languageNamed("Zig"))
	for name, sources := range map[string][]string{
		"apart":    {"../guests/testdata/libc/plugin.c", "wirehost.c"},
		"one unit": {"../guests/testdata/libc/one.c"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "plugin.wasm")
			answers(t, out,
				zig(append([]string{"cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-s", "-I.",
					"-Wall", "-Wextra", "-Werror", "-o", out}, sources...)...), "hello\r\n", "5 bytes: hello\r\n")
		})
	}
}

// A project may have an allocator of its own.
func TestOwnAllocator(t *testing.T) {
	need(t, languageNamed("C"))
	for name, flag := range map[string]string{"wh_alloc": "-DWH_ALLOC", "malloc": "-DMALLOC"} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "own.wasm")
			answers(t, out,
				exec.Command("clang-19", "--target=wasm32", "-Os", "-nostdlib", "-fno-builtin", "-mbulk-memory", "-I.",
					"-Wall", "-Wextra", "-Werror", "-Wl,--no-entry",
					flag, "-o", out, "../guests/testdata/libc/own.c", "wirehost.c"),
				"hello\r\n", "own: hello\r\n")
		})
	}
}

// answers builds a guest in the folder of the SDK in C, and says something to it.
func answers(t *testing.T, module string, cmd *exec.Cmd, text, want string) {
	t.Helper()
	cmd.Dir = "../c"
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	s := serve(t, config.Plugin{Module: module})
	say(t, dial(t, s.addr), text, want)
}
