package host

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host/guest/compile"
)

// raceDetector is set where the race detector runs, whose memory is not ours.
var raceDetector bool

// asCompiler has the test's own program be a compiler process.
const asCompiler = "compile-for-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asCompiler {
		if err := compile.Run(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if addr := os.Getenv(spinClient); addr != "" {
		echoFor(addr)
		return
	}
	dir, err := os.MkdirTemp("", "guests")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	guests.dir, guests.paths = dir, map[string]string{}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}
