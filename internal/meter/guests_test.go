package meter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// build runs a compiler once per process and gives the module it makes.
type build struct {
	once sync.Once
	wasm []byte
	err  error
}

func (b *build) run(name string, env []string, args ...string) ([]byte, error) {
	const output = "OUT" // stands in args for the file to write
	b.once.Do(func() {
		dir, err := os.MkdirTemp("", "meter")
		if err != nil {
			b.err = err
			return
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "guest.wasm")
		args = slices.Clone(args)
		args[slices.Index(args, output)] = out
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), env...)
		if text, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
			return
		}
		b.wasm, b.err = os.ReadFile(out)
	})
	return b.wasm, b.err
}

var cBuild, goBuild build

func cGuest(t testing.TB) []byte {
	tooltest.Find(t, "clang-19", "")
	b, err := cBuild.run("clang-19", nil, "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-o", "OUT",
		"testdata/guest.c")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goGuest(t testing.TB) []byte {
	if testing.Short() {
		t.Skip("builds a Go guest")
	}
	b, err := goBuild.run("go", []string{"GOOS=wasip1", "GOARCH=wasm"}, "build", "-buildmode=c-shared", "-trimpath",
		"-buildvcs=false", "-ldflags=-s -w", "-o", "OUT", "testdata/goguest/main.go")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// instance is a guest that runs, metered or not.
type instance struct {
	api.Module
	ctx   context.Context
	guard *Guard
}

func start(t testing.TB, wasm []byte, metered bool) *instance {
	if metered {
		return startWith(t, wasm, Options{})
	}
	i := &instance{ctx: context.Background(), guard: NewGuard(monotonic(), nil)}
	i.run(t, wasm, i.runtime(t))
	return i
}

func startWith(t testing.TB, wasm []byte, o Options) *instance {
	out, _, err := Rewrite(wasm, o)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{ctx: context.Background(), guard: NewGuard(monotonic(), nil)}
	r := i.runtime(t)
	if err := Instantiate(i.ctx, r); err != nil {
		t.Fatal(err)
	}
	i.ctx = With(i.ctx, i.guard)
	i.run(t, out, r)
	return i
}

func (i *instance) runtime(t testing.TB) wazero.Runtime {
	r := wazero.NewRuntime(i.ctx)
	t.Cleanup(func() { r.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(i.ctx, r)
	return r
}

func (i *instance) run(t testing.TB, wasm []byte, r wazero.Runtime) {
	i.guard.Arm(10 * time.Second)
	m, err := r.InstantiateWithConfig(i.ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	i.Module = m
}

func (i *instance) call(t testing.TB, name string, args ...uint64) uint32 {
	i.guard.Arm(10 * time.Second)
	r, err := i.ExportedFunction(name).Call(i.ctx, args...)
	if err != nil {
		t.Fatalf("%s(%v): %v", name, args, err)
	}
	if len(r) == 0 {
		return 0
	}
	return api.DecodeU32(r[0])
}

// text is what the line parsers read, 61,440 bytes.
func text() []byte {
	return []byte(strings.Repeat("content-length: 12345\nhost: example.org\nab\nx:y\n\n\n", 61440/49+1))[:61440]
}

func (i *instance) fill(t testing.TB, b []byte) {
	if !i.Memory().Write(i.call(t, "buffer"), b) {
		t.Fatal("the buffer is outside the memory")
	}
}

func TestGuests(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func(testing.TB) []byte
	}{{"C", cGuest}, {"Go", goGuest}} {
		t.Run(tt.name, func(t *testing.T) {
			plain, metered := start(t, tt.build(t), false), start(t, tt.build(t), true)
			b := text()
			sum := sha256.Sum256(b)
			want := map[string]uint32{"sum": uint32(sum[0]) | uint32(sum[1])<<8,
				"lines": uint32(strings.Count(string(b), ": "))}
			for _, i := range []*instance{plain, metered} {
				i.fill(t, b)
				for name, want := range want {
					if got := i.call(t, name, uint64(len(b))); got != want {
						t.Errorf("%s gives %d, wanted %d", name, got, want)
					}
				}
			}
		})
	}
}

func TestGoGuestWorks(t *testing.T) {
	plain, metered := start(t, goGuest(t), false), start(t, goGuest(t), true)
	for _, call := range []struct {
		name string
		arg  uint64
	}{{"work", 1000}, {"deep", 1000}, {"recurse", 300}, {"recurse", 1200}} {
		want, got := plain.call(t, call.name, call.arg), metered.call(t, call.name, call.arg)
		if want != got {
			t.Errorf("%s(%d) gives %d metered, %d plain", call.name, call.arg, got, want)
		}
	}
}
