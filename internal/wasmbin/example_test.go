package wasmbin_test

import (
	"fmt"
	"os"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// What a module exports.
func ExampleDecode() {
	b, err := os.ReadFile("../../host/testdata/echo.wasm")
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := wasmbin.Decode(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range m.Exports {
		if e.Kind == wasmbin.KindFunction {
			fmt.Println(e.Name)
		}
	}
	// Output:
	// abi_version_1
	// receiveBuffer
	// connectionMade
	// dataReceived
	// connectionLost
}
