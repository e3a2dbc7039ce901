package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/wasmbin"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// TestCompilerProcess: a module that no compiler survives is refused, with the
// reason, and what runs runs on; so does a program that has no compiler any more.
func TestCompilerProcess(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm"})
	cfg.Cache.Dir = t.TempDir()
	s := newServer(t, cfg)
	s.o.Compiler = CompileIfAsked()
	s.start(t)
	echoes(t, s.addrs[0])

	wide := filepath.Join(t.TempDir(), "wide.wasm")
	if err := os.WriteFile(wide, wideFunction(t), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.LoadPlugin(context.Background(), "wide",
		config.Plugin{Module: wide, Limits: config.Limits{CompileMemory: 64 << 20}})
	want := "plugin wide: module " + wide +
		": the compiler ran out of memory: found a module that takes more than limits.compile_memory"
	if raceDetector { // it ends the process in its own words
		want = "the compiler "
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("found %v, wanted %q", err, want)
	}
	echoes(t, s.addrs[0])

	s.o.Compiler[0] = filepath.Join(t.TempDir(), "gone")
	_, err = s.LoadPlugin(context.Background(), "late", config.Plugin{Module: "testdata/counter.wasm"})
	if err == nil || !strings.Contains(err.Error(), "the compiler did not start") {
		t.Fatalf("found %v", err)
	}
	// compiled already
	if _, err := s.LoadPlugin(context.Background(), "same", config.Plugin{Module: "testdata/echo.wasm"}); err != nil {
		t.Fatal(err)
	}
	echoes(t, s.addrs[0])
}

// wideFunction is the echo with a function that has a million values on its stack.
func wideFunction(t *testing.T) []byte {
	t.Helper()
	m := wasmbintest.Read(t, "testdata/echo.wasm")
	m.Types = append(m.Types, wasmbin.FuncType{})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Body: []byte(strings.Repeat("\x41\x00", 1<<20) + "\x00\x0b")})
	return m.Encode()
}
