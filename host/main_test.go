package host

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// raceDetector is set where the race detector runs, whose memory is not ours.
var raceDetector bool

func TestMain(m *testing.M) {
	CompileIfAsked()
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
