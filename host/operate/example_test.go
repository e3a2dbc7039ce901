package operate_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/operate"
)

// A main that serves what a file says until it is interrupted.
func ExampleRun() {
	compiler := host.CompileIfAsked() // before anything else
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := operate.Run(ctx, operate.Options{
		Load: operate.File("wirehost.yaml"),
		Log:  os.Stderr,
		Host: host.Options{Compiler: compiler},
	})
	if err != nil {
		fmt.Println(err)
	}
}

// A server in steps, configured in code: it echoes, for one client, and reloads.
func ExampleServer() {
	cfg := config.Config{
		Admin:     config.Admin{Listen: "off"},
		Cache:     config.Cache{Dir: "off"},
		Plugins:   map[string]config.Plugin{"echo": {Module: "../testdata/echo.wasm"}},
		Listeners: []config.Listener{{Endpoint: "tcp://127.0.0.1:0", Plugin: "echo"}},
	}
	ctx := context.Background()
	s, err := operate.New(cfg, operate.Options{
		Load: func(context.Context) (config.Config, error) { return cfg, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.Listeners()[0].Port)); err == nil {
		fmt.Fprint(c, "hello")
		answer := make([]byte, 5)
		_, err := io.ReadFull(c, answer)
		fmt.Printf("%s %v\n", answer, err)
		c.Close()
	}

	cfg.Plugins["another"] = config.Plugin{Module: "../testdata/echo.wasm"}
	change, err := s.Reload(ctx)
	fmt.Println(change.Added, err)
	fmt.Println(s.Shutdown(ctx))
	// Output:
	// hello <nil>
	// [plugin another] <nil>
	// <nil>
}
