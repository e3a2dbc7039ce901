package meter_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/meter"
)

// spins is (module (func (export "dataReceived") (loop (br 0)))).
const spins = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00" +
	"\x07\x10\x01\x0cdataReceived\x00\x00\x0a\x09\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b"

// A guest that loops for ever is stopped when its time is up. The clock here
// goes on by 10 ms each time that it is read.
func Example() {
	metered, info, err := meter.Rewrite([]byte(spins), meter.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("loops:", info.Loops)

	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	if err := meter.Instantiate(ctx, runtime); err != nil {
		fmt.Println(err)
		return
	}

	now := time.Duration(0)
	guard := meter.NewGuard(func() time.Duration { now += 10 * time.Millisecond; return now }, nil)
	ctx = meter.With(ctx, guard)
	guard.Arm(time.Second)
	instance, err := runtime.Instantiate(ctx, metered)
	if err != nil {
		fmt.Println(err)
		return
	}

	guard.Arm(100 * time.Millisecond)
	_, err = instance.ExportedFunction("dataReceived").Call(ctx)
	fmt.Println("out of time:", errors.Is(err, meter.ErrTime))
	fmt.Println("after:", guard.Used())
	// Output:
	// loops: 1
	// out of time: true
	// after: 100ms
}
