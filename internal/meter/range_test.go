package meter

import (
	"errors"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// TestTableCopy moves an overlapping range of references, longer than a piece,
// up and down.
func TestTableCopy(t *testing.T) {
	const size, long = 30_000, 20_001
	i32, ref := wasmbin.I32, wasmbin.Externref
	m := &wasmbin.Module{
		Types: []wasmbin.FuncType{
			{Params: []wasmbin.ValueType{i32, ref}},
			{Params: []wasmbin.ValueType{i32}, Results: []wasmbin.ValueType{ref}},
			{Params: []wasmbin.ValueType{i32, i32, i32}},
		},
		Functions: []uint32{0, 1, 2},
		Tables:    []wasmbin.TableType{{Element: ref, Limits: wasmbin.Limits{Min: size}}},
		Exports:   []wasmbin.Export{{Name: "set", Index: 0}, {Name: "get", Index: 1}, {Name: "copy", Index: 2}},
		Code: []wasmbin.Code{
			{Body: code(wasmbin.OpLocalGet, 0, wasmbin.OpLocalGet, 1, wasmbin.OpTableSet, 0, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpLocalGet, 0, wasmbin.OpTableGet, 0, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpLocalGet, 0, wasmbin.OpLocalGet, 1, wasmbin.OpLocalGet, 2, wasmbin.OpTableCopy, 0, 0,
				wasmbin.OpEnd)},
		},
	}
	for _, tt := range []struct {
		name         string
		dest, source int
	}{{"up", 3000, 100}, {"down", 100, 3000}, {"far up", 9999, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			i := start(t, m.Encode(), true)
			want := make([]uint64, size)
			set := i.ExportedFunction("set")
			for k := range want {
				want[k] = uint64(k + 1)
				if err := set.CallWithStack(i.ctx, []uint64{uint64(k), want[k]}); err != nil {
					t.Fatal(err)
				}
			}
			copy(want[tt.dest:tt.dest+long], want[tt.source:])
			i.call(t, "copy", uint64(tt.dest), uint64(tt.source), long)
			get := i.ExportedFunction("get")
			for k := range want {
				stack := []uint64{uint64(k)}
				if err := get.CallWithStack(i.ctx, stack); err != nil || stack[0] != want[k] {
					t.Fatalf("element %d is %d (%v), wanted %d", k, stack[0], err, want[k])
				}
			}
		})
	}
}

// ranges exports work on ranges as one function each.
func ranges() []byte {
	i32 := wasmbin.I32
	get := code(wasmbin.OpLocalGet, 0)
	m := &wasmbin.Module{
		Types: []wasmbin.FuncType{{Params: []wasmbin.ValueType{i32}},
			{Params: []wasmbin.ValueType{i32}, Results: []wasmbin.ValueType{i32}}},
		Functions: []uint32{0, 0, 1, 1, 0},
		Memories:  []wasmbin.Limits{{Min: 256}},
		Tables:    []wasmbin.TableType{{Element: wasmbin.Externref, Limits: wasmbin.Limits{Min: 50_000}}},
		Exports: []wasmbin.Export{
			{Name: "fill", Index: 0}, {Name: "copy", Index: 1}, {Name: "tableGrow", Index: 2},
			{Name: "memoryGrow", Index: 3},
			{Name: "tableFill", Index: 4},
		},
		Code: []wasmbin.Code{
			{Body: code(wasmbin.OpI32Const, 0, wasmbin.OpI32Const, 1, get, wasmbin.OpMemoryFill, 0, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpI32Const, 9, wasmbin.OpI32Const, 0, get, wasmbin.OpMemoryCopy, 0, 0, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpRefNull, []byte{0x6f}, get, wasmbin.OpTableGrow, 0, wasmbin.OpEnd)},
			{Body: code(get, wasmbin.OpMemoryGrow, 0, wasmbin.OpEnd)},
			{Body: code(wasmbin.OpI32Const, 0, wasmbin.OpRefNull, []byte{0x6f}, get, wasmbin.OpTableFill, 0,
				wasmbin.OpEnd)},
		},
	}
	return m.Encode()
}

// TestRangesComeUpForAir counts how often the clock is read, which is how often
// Go gets its turn, while one instruction runs.
func TestRangesComeUpForAir(t *testing.T) {
	i := start(t, ranges(), true)
	reads := 0
	i.guard.clock = func() time.Duration { reads++; return 0 }
	for _, tt := range []struct {
		name  string
		arg   uint64
		least int
	}{
		{"fill", 16 << 20, 16 << 20 / (16 * DefaultSlice)},
		{"copy", 16<<20 - 9, 16 << 20 / (16 * DefaultSlice)},
	} {
		reads = 0
		i.call(t, tt.name, tt.arg)
		if reads < tt.least {
			t.Errorf("%s(%d) reads the clock %d times, wanted %d", tt.name, tt.arg, reads, tt.least)
		}
	}
}

// TestRangesAreCharged looks at the fuel before and after.
func TestRangesAreCharged(t *testing.T) {
	i := startWith(t, ranges(), Options{exportGlobals: true})
	fuel := i.ExportedGlobal(fuelName).(api.MutableGlobal)
	for _, tt := range []struct {
		name  string
		arg   uint64
		least int64
	}{
		{"fill", 60_000, 60_000 / 16}, {"copy", 1 << 20, 1 << 20 / 16}, {"tableFill", 5000, 2500},
		{"tableFill", 50_000, 25_000}, {"memoryGrow", 16, 272 * 16}, {"tableGrow", 1000, 51_000 / 8},
	} {
		const full = 1 << 40
		fuel.Set(full)
		i.call(t, tt.name, tt.arg)
		if took := full - int64(fuel.Get()); took < tt.least || took > 2*tt.least+1000 {
			t.Errorf("%s(%d) takes %d units, wanted %d or a little more", tt.name, tt.arg, took, tt.least)
		}
	}
}

// TestRangeStops ends a fill in the middle when the time is up.
func TestRangeStops(t *testing.T) {
	i := start(t, ranges(), true)
	now := time.Duration(0)
	i.guard.clock = func() time.Duration { now += 10 * time.Millisecond; return now }
	i.guard.Arm(20 * time.Millisecond)
	if _, err := i.ExportedFunction("fill").Call(i.ctx, 16<<20); !errors.Is(err, ErrTime) {
		t.Fatalf("a long fill ended with %v, wanted ErrTime", err)
	}
	last, _ := i.Memory().ReadByte(16<<20 - 1)
	first, _ := i.Memory().ReadByte(0)
	if first != 1 || last != 0 {
		t.Errorf("the first byte is %d and the last %d, wanted 1 and 0", first, last)
	}
}

// TestGrowth asks for more than there can be.
func TestGrowth(t *testing.T) {
	i := start(t, ranges(), true)
	for name, args := range map[string][]uint64{"tableGrow": {50_001, 200_000_000, 1<<32 - 1},
		"memoryGrow": {65_281, 1 << 20, 1<<32 - 1}} {
		for _, n := range args {
			i.guard.Arm(time.Minute)
			r, err := i.ExportedFunction(name).Call(i.ctx, n)
			if err != nil || api.DecodeI32(r[0]) != -1 {
				t.Errorf("%s(%d) gives %v, %v; wanted -1", name, n, r, err)
			}
		}
	}
}
