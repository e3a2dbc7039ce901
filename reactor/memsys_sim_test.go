package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

func TestMemorySys(t *testing.T) {
	reactortest.SysSuite(t, reactortest.SysBackend{
		New: func(t *testing.T) reactor.Sys {
			return memnet.New(memnet.Options{SelfTurning: true})
		},
		Networks: []string{"tcp", "unix"},
	})
}
