package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/reactor"
	"github.com/wirehost/wirehost/reactor/reactortest"
)

func TestMemorySys(t *testing.T) {
	reactortest.SysSuite(t, reactortest.SysBackend{
		New: func(t *testing.T) reactor.Sys {
			return reactortest.NewSys(reactortest.Options{SelfTurning: true})
		},
		Networks: []string{"tcp", "unix"},
	})
}
