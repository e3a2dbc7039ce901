package transcript_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/transcript"
)

// What comes back is compared to the byte, with the input cut at every offset.
func ExampleRun() {
	t, err := transcript.Parse("hello.txt", "send \"hello\"\nexpect \"hello\"\nclose\nexpect close\n")
	if err != nil {
		fmt.Println(err)
		return
	}
	echo := transcript.Plugin{Config: config.Plugin{Module: "../../host/testdata/echo.wasm"}}
	runs, err := transcript.Run(context.Background(), echo, t)
	fmt.Println(runs, "runs:", err)

	_, err = transcript.Parse("hello.txt", "send hello")
	var wrong *transcript.Error
	fmt.Println(errors.As(err, &wrong), err)
	// Output:
	// 6 runs: <nil>
	// true hello.txt:1:6: found "hello", wanted text in double quotes, or hex and pairs of digits
}
