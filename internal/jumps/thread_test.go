package jumps

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// words are instructions without immediates, and pieces of code: mark N changes
// local 1 by N, and tick ends the function with local 1 when it was there 20 times.
var words = map[string]string{
	"end": "\x0b", "else": "\x05", "return": "\x0f", "drop": "\x1a", "add": "\x6a", "unreachable": "\x00",
	"nop":  "\x01",
	"mark": "\x20\x01\x41\x03\x6c\x6a\x21\x01", // behind a constant
	"tick": "\x20\x02\x41\x01\x6a\x22\x02\x41\x14\x46\x04\x40\x20\x01\x0f\x0b",
}

var immediate = map[string]wasmbin.Opcode{
	"br": wasmbin.OpBr, "br_if": wasmbin.OpBrIf, "get": wasmbin.OpLocalGet, "set": wasmbin.OpLocalSet,
	"tee": wasmbin.OpLocalTee,
}

// assemble makes the body of a function.
func assemble(t testing.TB, text string) (b []byte) {
	fields := strings.Fields(text)
	number := func() int64 {
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		fields = fields[1:]
		return n
	}
	for len(fields) > 0 {
		word := fields[0]
		fields = fields[1:]
		switch word {
		case "block", "loop", "if":
			typ := byte(0x40)
			if len(fields) > 0 && fields[0] == "i32" {
				typ, fields = 0x7f, fields[1:]
			}
			b = append(b, map[string]byte{"block": 2, "loop": 3, "if": 4}[word], typ)
		case "loop1": // takes an i32
			b = append(b, 3, 1)
		case "const":
			b = wasmbin.AppendS64(append(b, 0x41), number())
		case "mark":
			b = append(wasmbin.AppendS64(append(b, 0x41), number()), words[word]...)
		case "table":
			list := strings.Split(fields[0], ",")
			fields = fields[1:]
			b = wasmbin.AppendU32(append(b, 0x0e), uint32(len(list)-1))
			for _, l := range list {
				n, _ := strconv.Atoi(l)
				b = wasmbin.AppendU32(b, uint32(n))
			}
		default:
			if op, ok := immediate[word]; ok {
				b = wasmbin.AppendU32(append(b, byte(op)), uint32(number()))
			} else if code, ok := words[word]; ok {
				b = append(b, code...)
			} else {
				t.Fatalf("what is %q?", word)
			}
		}
	}
	return b
}

// module is one with a function of an i32, with three locals of that type, which
// gives local 1 at its end.
func module(t testing.TB, text string) *wasmbin.Module {
	i32 := []wasmbin.ValueType{wasmbin.I32}
	return &wasmbin.Module{
		Types:     []wasmbin.FuncType{{Params: i32, Results: i32}, {Params: i32}},
		Functions: []uint32{0},
		Exports:   []wasmbin.Export{{Name: "f", Kind: wasmbin.KindFunction}},
		Code: []wasmbin.Code{{Locals: []wasmbin.LocalRun{{Count: 3, Type: wasmbin.I32}},
			Body: assemble(t, text+" get 1 end")}},
	}
}

// TestShapes has what Go's compiler makes, and what is nearly that: what becomes
// direct, what goes on to set the local, and that nobody sees a difference.
func TestShapes(t *testing.T) {
	const (
		head = " loop block block block get 0 table 0,1,2 end mark 2 tick "
		in   = " end mark 4 tick "
		last = " end mark 6 tick "
	)
	for _, tc := range []struct {
		name, text    string
		threaded, set int
	}{
		{"as Go does", head + "get 1 if const 2 set 0 br 3 end" + in + "const 1 set 0 br 1" + last + "end", 1, 0},
		{"nothing goes back", head + "get 1 if const 2 set 0 br 3 end" + in + last + "end", 1, 0},
		{"an if with more in it", head + "get 1 if mark 1 const 2 set 0 br 3 end" + in + last + "end", 1, 0},
		{"an if with an else", head + "get 1 if const 2 set 0 br 3 else mark 1 end" + in + last + "end", 1, 0},
		{"an else", head + "get 1 if mark 1 else const 2 set 0 br 3 end" + in + last + "end", 1, 0},
		{"a constant past the table", head + "get 1 if const 77 set 0 br 3 end" + in + last + "end", 1, 0},
		{"a constant below zero", head + "get 1 if const -1 set 0 br 3 end" + in + last + "end", 1, 0},
		{"inside of blocks", head + "block loop get 1 if const 1 set 0 br 5 end end end" + in + last + "end", 1, 0},
		{"out of the loop", "block loop block get 0 table 0,2,0 end mark 2 tick const 1 set 0 br 0 end end mark 1", 1,
			0},
		{"behind a loop", "loop mark 1 end" + head + "get 1 if const 2 set 0 br 3 end" + in + last + "end", 1, 0},
		{"back to the loop itself", "loop block get 0 table 0,0,0,0,0,1,0 end mark 2 tick get 3 if const 5 set 0 br " +
			"1 end end", 0, 0},

		{"another local", head + "get 1 if const 2 set 3 br 3 end" + in + last + "end", 0, 0},
		{"tee", head + "get 1 if const 2 tee 0 br 3 end" + in + last + "end", 0, 0},
		{"get", head + "get 1 if const 2 get 0 br 3 end" + in + last + "end", 0, 0},
		{"no constant", head + "get 1 if get 1 set 0 br 3 end" + in + last + "end", 0, 0},
		{"something between", head + "get 1 if const 2 set 0 nop br 3 end" + in + last + "end", 0, 0},
		{"br_if", head + "const 2 set 0 get 1 br_if 2" + in + last + "end", 0, 0},
		{"not the loop", head + "get 1 if const 1 set 0 br 2 end" + in + last + "end", 0, 0},
		{"a block of the same depth", head + in + "block mark 1 const 1 set 0 br 2 end mark 8" + last + "end", 0, 0},
		{"two at the same depth", head + in + "block block const 0 set 0 br 3 end mark 8 end mark 9" + last + "end", 0,
			0},
		{"more at the head", "loop nop block block get 0 table 0,1 end tick get 1 if const 1 set 0 br 2 end end mark " +
			"3 tick end",
			0, 0},
		{"more behind the blocks", "loop block block mark 1 get 0 table 0,1 end tick get 1 if const 1 set 0 br 2 end " +
			"end end",
			0, 0},
		{"another index", "loop block block get 0 const 1 add table 0,1 end tick get 1 if const 1 set 0 br 2 end end " +
			"end", 0, 0},
		{"a value below the index", "loop block block get 1 get 0 table 0,1 end tick get 1 if const 1 set 0 br 2 end " +
			"end end",
			0, 0},
		{"a value below the blocks", "loop get 1 block block get 0 table 0,1,1 end mark 2 tick get 1 if const 1 set " +
			"0 br 2 end " +
			"end mark 3 set 3 get 3 set 1 end", 0, 0},
		{"a loop that takes a value", "get 0 loop1 block block get 0 table 0,1,1 end tick mark 1 " +
			"get 1 if get 1 const 1 set 0 br 2 end end set 1 end", 0, 0},
		{"a loop that drops a value", "get 0 loop1 drop block block get 0 table 0,1 end tick get 1 if get 1 const 1 " +
			"set 0 br 1 " +
			"end end mark 3 end", 0, 0},
		{"a loop between", "loop block loop block get 0 table 0,0,0,0,0,2,0 end tick " +
			"get 1 if const 5 set 0 br 3 end end end mark 3 end",
			0, 0},
		{"a function's label takes a value", "loop block get 0 table 0,0 end tick end", 0, 0},

		{"read behind it", head + "get 1 if const 2 set 0 br 3 end" + in + last + "get 0 set 1 end", 1, 1},
		{"read behind the loop", "block" + head + "get 1 if const 2 set 0 br 3 end" + in + last + "end end get 0 set 1",
			1, 1},
		{"read where it was set", head + "get 1 if const 2 set 0 br 3 end" + in + "const 5 set 0 get 0 set 1" + last +
			"end", 1, 0},
		{"set before an if", head + "get 1 if const 2 set 0 br 3 end" + in + "const 5 set 0 get 1 if get 0 set 1 end" +
			last +
			"end", 1, 0},
		{"set in an if", head + "get 1 if const 2 set 0 br 3 end" + in + "get 2 if const 5 set 0 end get 0 set 1" +
			last + "end",
			1, 1},
		{"set before an else", head + "get 1 if const 2 set 0 br 3 end" + in +
			"get 2 if const 5 set 0 else get 0 set 1 end" +
			last + "end", 1, 1},
		{"set before a loop", head + "get 1 if const 2 set 0 br 3 end" + in +
			"const 1 set 0 loop get 0 set 1 tick end" + last +
			"end", 1, 1},
		{"round without setting it", head + "get 1 if const 2 set 0 br 3 end" + in + "br 1" + last + "end", 1, 1},
		{"br_if without setting it", head + "get 1 if const 2 set 0 br 3 end" + in + "get 1 br_if 1" + last + "end", 1,
			1},
		{"br_table without setting it", head + "get 1 if const 2 set 0 br 3 end" + in + "get 1 table 1,0" + last +
			"end", 1, 1},
		{"its own br_table goes round", "block loop block block get 0 table 0,1,1,1,1,2,3 end mark 2 tick " +
			"get 1 if const 1 set 0 br 2 end end tick mark 1 end end", 1, 1},
		{"a loop around", "loop" + head + "get 1 if const 2 set 0 br 3 end" + in + last + "end tick br 0 end", 1, 1},
		{"another set before it is read", head + "get 1 if const 2 set 0 br 3 end" + in + last +
			"const 1 set 3 get 0 set 1 end",
			1, 1},
		{"two with a local each", head + "get 1 if const 2 set 0 br 3 end" + in + last +
			"end loop block block get 3 table 0,1,1 " +
			"end mark 2 tick get 1 if const 1 set 3 br 2 end end get 3 set 1 end", 2, 2},
		{"two of them", head + "get 1 if const 2 set 0 br 3 end" + in + last + "end" +
			head + "get 1 if const 2 set 0 br 3 end" + in + last + "end", 2, 2},
		{"one in the other", head + "get 1 if const 2 set 0 br 3 end" + in + head + "get 1 if const 2 set 0 br 3 end " +
			"get 2 if const 2 set 0 br 5 end" + in + last + "end" + last + "end", 3, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, after := module(t, tc.text), module(t, tc.text)
			info, err := Thread(after)
			if err != nil || info.Threaded != tc.threaded || info.Set != tc.set {
				t.Errorf("%+v, %v, wanted %d threaded, %d set", info, err, tc.threaded, tc.set)
			}
			if same := bytes.Equal(before.Code[0].Body, after.Code[0].Body); same && tc.threaded > 0 {
				t.Error("nothing changed")
			}
			if was, is := len(before.Code[0].Body), len(after.Code[0].Body); is > was {
				t.Errorf("%d bytes became %d", was, is)
			}
			want, got := run(t, before), run(t, after)
			if want != got {
				t.Errorf("found  %s\nwanted %s", got, want)
			}
		})
	}
}

// run calls the function with each of a few numbers.
func run(t *testing.T, m *wasmbin.Module) string {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	i, err := r.Instantiate(ctx, m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for n := range 6 {
		got, err := i.ExportedFunction("f").Call(ctx, uint64(uint32(n-1)))
		all = append(all, fmt.Sprint(got, err))
	}
	return strings.Join(all, " ")
}

// TestInvalid: what no runtime takes is no dispatch, and no harm is done.
func TestInvalid(t *testing.T) {
	for _, text := range []string{"loop block table 0,1 end end", "loop table 0 end",
		"get 0 loop block table 0 end end"} {
		if info, err := Thread(module(t, text)); err != nil || info.Dispatches > 0 {
			t.Errorf("%s: %+v, %v", text, info, err)
		}
	}
	bad := module(t, "")
	bad.Code[0].Body = []byte{byte(wasmbin.OpBr), 7}
	if _, err := Thread(bad); err == nil || !strings.HasPrefix(err.Error(), "function 0: ") {
		t.Errorf("found %v, wanted what is wrong with function 0", err)
	}
}

func TestConstant(t *testing.T) {
	for _, want := range []int32{0, 63, 64, 300, -1, -64, -65, math.MaxInt32, math.MinInt32} {
		if got := constant(wasmbin.AppendS64(nil, int64(want))); got != want {
			t.Errorf("found %d, wanted %d", got, want)
		}
	}
}
