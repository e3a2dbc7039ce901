package jumps

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// guest is testdata/goguest, as one of four is compiled.
type guest struct {
	api.Module
	ctx     context.Context
	guard   *meter.Guard
	refills int
}

// BenchmarkGuest runs testdata/goguest as Go's compiler left it and with direct
// jumps, plain and metered, in turns. direct/plain and the like are ratios of the
// least times, refills those of a request with both.
func BenchmarkGuest(b *testing.B) {
	wasm := filepath.Join(b.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", wasm,
		"./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, text)
	}
	plain, err := os.ReadFile(wasm)
	if err != nil {
		b.Fatal(err)
	}
	m, err := wasmbin.Decode(plain)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := Thread(m); err != nil {
		b.Fatal(err)
	}
	direct := m.Encode()
	all := []*guest{load(b, plain, false), load(b, direct, false), load(b, plain, true), load(b, direct, true)}
	for _, call := range []string{"serve", "readRequest", "date", "fprintf", "header", "channel", "sorted"} {
		b.Run(call, func(b *testing.B) {
			const rounds, n = 15, 300
			times := make([]time.Duration, len(all))
			for range rounds {
				for i, g := range all {
					from := time.Now()
					g.refills = 0
					g.guard.Arm(time.Minute)
					if _, err := g.ExportedFunction(call).Call(g.ctx, n); err != nil {
						b.Fatal(err)
					}
					if took := time.Since(from); times[i] == 0 || took < times[i] {
						times[i] = took
					}
				}
			}
			of := float64(times[0])
			b.ReportMetric(of/n/1e3, "plain-µs")
			for i, name := range []string{"direct/plain", "metered/plain", "both/plain"} {
				b.ReportMetric(float64(times[i+1])/of, name)
			}
			b.ReportMetric(float64(all[3].refills)/n, "refills/op")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func load(b *testing.B, wasm []byte, metered bool) *guest {
	g := &guest{ctx: context.Background()}
	begin := time.Now()
	g.guard = meter.NewGuard(func() time.Duration { g.refills++; return time.Since(begin) }, nil)
	r := wazero.NewRuntime(g.ctx)
	b.Cleanup(func() { r.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(g.ctx, r)
	if metered {
		if err := meter.Instantiate(g.ctx, r); err != nil {
			b.Fatal(err)
		}
		out, _, err := meter.Rewrite(slices.Clone(wasm), meter.Options{})
		if err != nil {
			b.Fatal(err)
		}
		wasm, g.ctx = out, meter.With(g.ctx, g.guard)
	}
	g.guard.Arm(time.Minute)
	var err error
	cfg := wazero.NewModuleConfig().WithStartFunctions("_initialize").WithSysNanotime().WithSysWalltime()
	if g.Module, err = r.InstantiateWithConfig(g.ctx, wasm, cfg); err != nil {
		b.Fatal(err)
	}
	return g
}
