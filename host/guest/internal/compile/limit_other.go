//go:build !linux

package compile

import (
	"fmt"
	"os"
	"runtime/metrics"
	"time"
)

const HasImages = false

// limited is not known here.
func limited() bool { return false }

// watchEvery is how often memory is looked at where the system has no limit.
const watchEvery = 5 * time.Millisecond

// limitProcess watches what this process takes, and ends it past so many bytes.
func limitProcess(memory int64) error {
	setMemory(memory)
	if memory <= 0 {
		return nil
	}
	go func() {
		s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
		for {
			if metrics.Read(s); s[0].Value.Uint64() > uint64(memory) {
				fmt.Fprintln(os.Stderr, "fatal error: out of memory")
				os.Exit(2)
			}
			time.Sleep(watchEvery)
		}
	}()
	return nil
}
