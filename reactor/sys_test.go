package reactor_test

import (
	"context"
	"testing"

	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

// endWithTest has what s still sends end with the test.
func endWithTest(t *testing.T, s reactor.Sys) reactor.Sys {
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		reactor.EndSys(ctx, s)
	})
	return s
}

func TestPortableSys(t *testing.T) {
	reactortest.SysSuite(t, reactortest.SysBackend{
		New:      func(t *testing.T) reactor.Sys { return endWithTest(t, reactor.NewPortableSys()) },
		Networks: []string{"tcp", "unix"},
		Files:    true,
	})
}
