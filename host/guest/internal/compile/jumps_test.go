package compile

import (
	"bytes"
	"os"
	"testing"
)

// TestGoJumps: the option changes what is made of compiled Go, and its entry's name.
func TestGoJumps(t *testing.T) {
	wasm, err := os.ReadFile("../../../../plugins/echo/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	var made [2][]byte
	var keys [2]string
	for i, direct := range []bool{false, true} {
		l := Limits{Stack: 1 << 20, Table: 10_000, GoJumps: direct}
		if made[i], _, err = check(wasm, l, false); err != nil {
			t.Fatal(err)
		}
		keys[i] = (&Compiler{}).key(Module{Sum: sumOf(wasm)}, l)
	}
	if bytes.Equal(made[0], made[1]) || keys[0] == keys[1] {
		t.Errorf("found the same with and without: code of %d bytes, keys %q", len(made[0]), keys)
	}
}
