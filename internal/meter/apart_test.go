package meter

import (
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// cases is a br_table by the number at address 0. The first block that it leads to
// is heavy, the second light, and an if behind all of them, by the number at
// address 4, is heavy again.
func cases() []byte {
	load := func(from int) []byte { return code(wasmbin.OpI32Const, from, wasmbin.OpI32Load, 2, 0) }
	stores := func(n int) []byte {
		return repeat(n, func(int) []byte {
			return code(wasmbin.OpI32Const, 8, wasmbin.OpI32Const, 1, wasmbin.Opcode(0x36), 2, 0)
		})
	}
	block := code(wasmbin.OpBlock, 0x40)
	return oneType(body{code: code(block, block, block, load(0), wasmbin.OpBrTable, 2, 0, 1, 2, wasmbin.OpEnd,
		stores(100), wasmbin.OpBr, 1, wasmbin.OpEnd,
		repeat(10, func(int) []byte { return code(wasmbin.OpMemorySize, 0, wasmbin.OpDrop) }), wasmbin.OpEnd,
		load(4), wasmbin.OpIf, 0x40, stores(50), wasmbin.OpEnd)})
}

// TestApart: what a br_table leads to is paid for where it runs, neither more nor
// less.
func TestApart(t *testing.T) {
	i := startWith(t, cases(), Options{exportGlobals: true})
	fuel := i.ExportedGlobal(fuelName).(api.MutableGlobal)
	const base = 20 // at most, for what all paths have
	for _, tc := range []struct {
		which, then uint32
		weight      int64
	}{{0, 0, 100 * weightStore}, {1, 0, 10}, {2, 0, 0}, {9, 0, 0}, {1, 1, 10 + 50*weightStore},
		{0, 1, 150 * weightStore}} {
		i.Memory().WriteUint32Le(0, tc.which)
		i.Memory().WriteUint32Le(4, tc.then)
		const full = 1 << 20
		fuel.Set(full)
		i.call(t, "f")
		if used := full - int64(fuel.Get()); used < tc.weight || used > tc.weight+base {
			t.Errorf("case %d, then %d: %d units, wanted %d to %d", tc.which, tc.then, used, tc.weight,
				tc.weight+base)
		}
	}
}

// TestLooksStay: blocks that pay apart take nothing from where fuel is looked at,
// and so bounds how far one look is from the next.
func TestLooksStay(t *testing.T) {
	type look struct {
		at   uint32
		kind pointKind
	}
	looks := func(points []point) (all []look) {
		for _, p := range points {
			if p.kind == pointPlain || p.kind == pointLoop {
				all = append(all, look{p.at, p.kind})
			}
		}
		return all
	}
	long := repeat(3000, func(int) []byte { return code(wasmbin.OpMemorySize, 0, wasmbin.OpDrop) })
	block := code(wasmbin.OpBlock, 0x40)
	modules := [][]byte{cases(),
		oneType(body{code: code(block, block, long, wasmbin.OpI32Const, 0, wasmbin.OpBrTable, 1,
			0, 1, wasmbin.OpEnd, long, long, wasmbin.OpEnd, long, long, long)})}
	for seed := range uint64(40) {
		modules = append(modules, generate(4, seed))
	}
	apart := 0
	for n, wasm := range modules {
		m, err := wasmbin.Decode(wasm)
		if err != nil {
			t.Fatal(err)
		}
		for k := range m.Code {
			a, first, second := newAnalyser(m), function{}, function{}
			a.size = len(wasm)
			a.f, a.body = &first, k
			if err := a.walk(); err != nil {
				t.Fatal(err)
			}
			if err := a.analyse(k, &second); err != nil {
				t.Fatal(err)
			}
			a.f = &first
			a.settle()
			if !slices.Equal(looks(first.points), looks(second.points)) {
				t.Errorf("module %d, function %d: looks at %v, wanted %v", n, k, looks(second.points),
					looks(first.points))
			}
			if len(second.points) > len(first.points) {
				apart++
			}
			if m := heaviest(second.points); m > maxPiece {
				t.Errorf("module %d, function %d: a point pays for %d", n, k, m)
			}
		}
	}
	if apart < 10 {
		t.Errorf("only %d functions have blocks that pay for themselves", apart)
	}
}

func heaviest(points []point) uint32 {
	return slices.MaxFunc(points, func(p, q point) int { return int(p.weight) - int(q.weight) }).weight
}
