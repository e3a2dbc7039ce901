package sdktest

import (
	"fmt"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// mostSplits bounds how many ways to cut an input in two are tried; of longer
// inputs every n-th.
const mostSplits = 4096

// Result is what came of feeding an input to a protocol.
type Result struct {
	Output        string
	Disconnecting bool
	Reason        wirehost.Reason // where it has ended
	Ended         bool
	Logged        int // lines
}

// Feed accepts a connection of a new server, lets the peer send the pieces, and
// says what came of it.
func Feed(tb testing.TB, start func() (*Server, error), pieces ...[]byte) Result {
	tb.Helper()
	s, err := start()
	if err != nil {
		tb.Fatalf("start: %v", err)
	}
	c := s.Accept()
	if c == nil {
		tb.Fatal("the factory refused the connection")
	}
	for _, p := range pieces {
		if len(p) > 0 {
			c.SendBytes(p)
		}
	}
	reason, ended := c.Ended()
	return Result{c.Output(), c.Disconnecting(), reason, ended, len(s.Lines)}
}

// ChunkLaw holds a protocol to the law that how the stream is cut makes no
// difference: it feeds input whole, in two pieces cut at every offset (of inputs
// over 4 KiB at 4,096 of them), and byte by byte, each time to a new server from
// start, and fails the test where the result differs from the whole's, which it
// returns.
func ChunkLaw(tb testing.TB, start func() (*Server, error), input []byte) Result {
	tb.Helper()
	whole := Feed(tb, start, input)
	same := func(how string, r Result) {
		tb.Helper()
		if r != whole {
			tb.Fatalf("%s: found %s\nwanted, as of the whole: %s", how, r, whole)
		}
	}
	for i := 1; i < len(input); i += 1 + len(input)/mostSplits {
		same(fmt.Sprintf("cut at %d", i), Feed(tb, start, input[:i], input[i:]))
	}
	bytes := make([][]byte, len(input))
	for i := range input {
		bytes[i] = input[i : i+1]
	}
	same("byte by byte", Feed(tb, start, bytes...))
	return whole
}

// ReloadLaw is ChunkLaw with a reload to a new factory between the two pieces:
// that it happened makes no difference either.
func ReloadLaw(tb testing.TB, start func() (*Server, error), next func() wirehost.Factory, input []byte) Result {
	tb.Helper()
	whole := Feed(tb, start, input)
	for i := 0; i <= len(input); i += 1 + len(input)/mostSplits {
		s, err := start()
		if err != nil {
			tb.Fatalf("start: %v", err)
		}
		c := s.Accept()
		c.SendBytes(input[:i])
		if !c.ended {
			if err := s.Reload(next()); err != nil {
				tb.Fatalf("reload at %d: %v", i, err)
			}
			c.SendBytes(input[i:])
		}
		if c.Output() != whole.Output || c.Disconnecting() != whole.Disconnecting {
			tb.Fatalf("reload at %d: found %.200q, disconnecting %t\nwanted, as of the whole: %s",
				i, c.Output(), c.Disconnecting(), whole)
		}
	}
	return whole
}

// String is the result for a failed test; of a long output it has the beginning.
func (r Result) String() string {
	return fmt.Sprintf("output (%d bytes) %.200q, disconnecting %t, ended %t (%v), %d lines logged",
		len(r.Output), r.Output, r.Disconnecting, r.Ended, r.Reason, r.Logged)
}
