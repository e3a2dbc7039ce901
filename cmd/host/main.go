// Command host is the command wirehost, under the name of its folder: go run ./cmd/host.
// To build or install it, take cmd/wirehost.
package main

import (
	"os"

	"github.com/wirehost/wirehost/internal/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
