// Command wirehost serves network protocols that are WebAssembly modules.
package main

import (
	"os"

	"github.com/wirehost/wirehost/internal/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
