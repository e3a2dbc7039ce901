package tooltest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePort is a port of 127.0.0.1 that nobody listens on, of those that the system gives nobody
// by itself: no connection of whoever else runs has it a moment later.
func FreePort(t testing.TB) string {
	t.Helper()
	const first, last, tries = 12000, 32000, 100
	var l net.Listener
	err := errors.New("no port")
	for range tries {
		port := strconv.Itoa(first + rand.IntN(last-first))
		if l, err = net.Listen("tcp", "127.0.0.1:"+port); err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal(err)
	return ""
}
