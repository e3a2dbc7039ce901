package abi_test

import (
	"fmt"

	"github.com/wirehost/wirehost/abi"
)

// A module that is a command, and not a reactor, as a compiler makes by default.
func ExampleValidate() {
	m := abi.Module{Exports: []abi.ModuleExport{
		{Name: "_start", Kind: abi.KindFunction},
		{Name: "memory", Kind: abi.KindMemory},
	}}
	for _, f := range abi.Validate(m) {
		fmt.Printf("%s: found %s, wanted %s\n", f.Subject, f.Found, f.Wanted) // f.Cause tells how to build it
	}
	// Output:
	// export abi_version_1: found none, wanted ()
	// export _initialize: found _start alone, wanted ()
	// export receiveBuffer: found none, wanted () -> i64
	// export connectionMade: found none, wanted (i32)
	// export dataReceived: found none, wanted (i32, i32, i32)
	// export connectionLost: found none, wanted (i32, i32)
}
