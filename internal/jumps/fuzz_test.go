package jumps

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// FuzzThread feeds broken modules: none may panic, none may grow by more than its jumps'
// labels, nor by narrow addresses at all, and what wazero takes it takes afterwards. That they do the
// same is FuzzDifferential's, of package meter.
func FuzzThread(f *testing.F) {
	for _, text := range []string{
		"loop block block get 0 table 0,1 end mark 2 tick get 1 if const 1 set 0 br 2 end end tick const 0 set 0 br " +
			"0 end",
		"loop block block get 0 table 0,1 end get 1 if const 1 set 0 br 2 else mark 3 end end get 0 drop end",
		"block i32 loop block get 0 table 0,2 end const 1 set 0 br 0 end unreachable end drop",
	} {
		f.Add(module(f, text).Encode())
	}
	f.Add(addressing(f, 0, "get 0 ld 0 get 0 sum 8 ld 16 get 0 sum 100000 st 8").Encode())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x01\x00\x05\x01\x00"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := wasmbin.Decode(wasm)
		if err != nil {
			return
		}
		before := make([]int, len(m.Code))
		for i := range m.Code {
			before[i] = len(m.Code[i].Body)
		}
		info, err := Thread(m)
		if err != nil {
			return
		}
		for i := range m.Code {
			if most := before[i] + 2*info.Set; len(m.Code[i].Body) > most {
				t.Errorf("function %d: %d bytes became %d", i, before[i], len(m.Code[i].Body))
			}
		}
		for i := range m.Code {
			before[i] = len(m.Code[i].Body)
		}
		if _, err := Narrow(m); err != nil {
			t.Fatal(err)
		}
		for i := range m.Code {
			if is := len(m.Code[i].Body); is > before[i] {
				t.Errorf("function %d: %d bytes became %d", i, before[i], is)
			}
		}
		ctx := context.Background()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer r.Close(ctx)
		if _, err := r.CompileModule(ctx, wasm); err != nil {
			return
		}
		m.Custom = nil // wazero refuses an empty one where a module ends
		if _, err := r.CompileModule(ctx, m.Encode()); err != nil {
			t.Errorf("valid before, and now: %v", err)
		}
	})
}
