package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/guest/internal/compile"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

// serverConns is how many connections ask by turns.
const serverConns = 50

// BenchmarkServer holds the net/http server of examples/http in a guest, as it is
// served (metered, by wirenet, no socket), against the same server over connections
// in the guest's own memory in bare wazero, unmetered and as Go's compiler left it:
// by turns, in processor time. "looping" is without go_jumps.
func BenchmarkServer(b *testing.B) {
	clock := meter.ProcessClock()
	if clock == nil {
		b.Skip("no clock of the process's processor time")
	}
	module := serverModule(b)
	served, looping, bare := servedHTTP(b, module, true), servedHTTP(b, module, false), bareHTTP(b, module)
	const batch = 200
	took := func(request func()) float64 {
		begin := clock()
		for range batch {
			request()
		}
		return float64((clock() - begin).Nanoseconds()) / batch
	}
	took(served)
	took(looping)
	took(bare)
	found := map[string][]float64{}
	for b.Loop() {
		s, l, u := took(served), took(looping), took(bare)
		for unit, v := range map[string]float64{
			"served-ns/req": s, "bare-ns/req": u, "ratio": s / u, "looping-ratio": l / u} {
			found[unit] = append(found[unit], v)
		}
	}
	for unit, list := range found {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], unit)
	}
}

// serverModule is the file of examples/http with testdata/bareserver.go in it.
func serverModule(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	added, err := filepath.Abs("testdata/bareserver.go")
	if err != nil {
		b.Fatal(err)
	}
	folder, err := filepath.Abs("../../examples/http")
	if err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(folder, "bare.go"): added}})
	if err != nil {
		b.Fatal(err)
	}
	overlay, module := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "http.wasm")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command("go", "build", "-overlay", overlay, "-buildmode=c-shared", "-o", module, folder)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return module
}

// answered is a Transport that waits for the answers of a server.
type answered struct {
	sink
	last []byte
}

func (a *answered) Write(p []byte) (int, error) {
	a.last = append(a.last[:0], p...)
	return a.sink.Write(p)
}
func (a *answered) Host() string { return "tcp://127.0.0.1:80" }
func (a *answered) Peer() string { return "tcp://127.0.0.1:5000" }

// servedHTTP is one request to the server in a guest.
func servedHTTP(b *testing.B, module string, jumps bool) func() {
	b.Helper()
	p := loadedWithin(b, module, false, compile.Limits{Stack: 1 << 20, Table: 10_000, GoJumps: jumps})
	s := standingBy(b, p, func(s *Settings) {
		s.Limits.Timers, s.Limits.CallbackTime = 10, time.Minute
		s.Config = []byte(`{"header_timeout": 3600000, "idle_timeout": 3600000}`) // compiling takes long
	})
	i := s.instance(b)
	var conns []*conn
	var to []*answered
	for range serverConns {
		a := &answered{}
		p, err := i.BuildProtocol(a)
		if err != nil {
			b.Fatal(err)
		}
		c := p.(*conn)
		c.ConnectionMade(a)
		conns, to = append(conns, c), append(to, a)
	}
	b.Cleanup(func() {
		for _, c := range conns {
			c.ConnectionLost(reactor.Done, nil)
		}
		i.Close()
	})
	next := 0
	return func() {
		c, a := conns[next], to[next]
		next = (next + 1) % len(conns)
		before := a.bytes
		c.DataReceived(append(c.ReceiveBuffer()[:0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n"...))
		if a.bytes == before || !bytes.HasPrefix(a.last, []byte("HTTP/1.1 200 OK\r\n")) {
			b.Fatalf("no answer: %q, %v", a.last, s.traps)
		}
	}
}

// bareHTTP is one request to the server in bare wazero.
func bareHTTP(b *testing.B, module string) func() {
	b.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	b.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	text, err := os.ReadFile(module)
	if err != nil {
		b.Fatal(err)
	}
	m, err := r.CompileModule(ctx, text)
	if err != nil {
		b.Fatal(err)
	}
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == abi.ModuleWASI {
			continue
		}
		if builders[module] == nil {
			builders[module] = r.NewHostModuleBuilder(module)
		}
		none := api.GoModuleFunc(func(context.Context, api.Module, []uint64) { panic(name + " was called") })
		builders[module].NewFunctionBuilder().WithGoModuleFunction(none, f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, module := range builders {
		if _, err := module.Instantiate(ctx); err != nil {
			b.Fatal(err)
		}
	}
	i, err := r.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithStartFunctions("_initialize").
		WithSysNanotime().WithSysWalltime())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := i.ExportedFunction("bareStart").Call(ctx, serverConns); err != nil {
		b.Fatal(err)
	}
	request := i.ExportedFunction("bareRequest")
	return func() {
		if err := request.CallWithStack(ctx, nil); err != nil {
			b.Fatal(fmt.Errorf("in bare wazero: %w", err))
		}
	}
}
