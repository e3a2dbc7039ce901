package reactor_test

import (
	"testing"

	"github.com/wirehost/wirehost/internal/reactortest"
	"github.com/wirehost/wirehost/reactor"
)

func TestLinuxSys(t *testing.T) {
	reactortest.SysSuite(t, reactortest.SysBackend{
		New: func(t *testing.T) reactor.Sys {
			s, err := reactor.NewLinuxSys()
			if err != nil {
				t.Fatal(err)
			}
			return endWithTest(t, s)
		},
		Networks: []string{"tcp", "unix"},
		Files:    true,
	})
}
