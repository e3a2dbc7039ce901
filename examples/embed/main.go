// Command embed is a server of its own that hosts WebAssembly protocols: it serves
// what wirehost.yaml says, goes over to a module when its file is saved, and lets
// connections finish when it is told to end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/operate"
)

func main() {
	compiler := host.CompileIfAsked() // modules are compiled by this program, in a process of their own
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := operate.Run(ctx, operate.Options{
		Load: operate.File("wirehost.yaml"),
		Log:  os.Stderr,
		Host: host.Options{Compiler: compiler},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
