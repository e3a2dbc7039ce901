// Command sdkgen writes what the SDKs have of the contract, their constants and
// raw imports, from package abi's table. An SDK in files that are copied one by one
// has it between two marks; that in Go has files of its own for it.
//
//	go generate ./sdk
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run writes the SDKs in a folder, and only the files that change.
func run(args []string, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "usage: sdkgen FOLDER, that of the SDKs")
		return 2
	}
	files, err := generate(os.DirFS(args[0]))
	if err != nil {
		fmt.Fprintln(stderr, "sdkgen:", err)
		return 1
	}
	for _, f := range files {
		if bytes.Equal(f.old, f.text) {
			continue
		}
		if err := os.WriteFile(filepath.Join(args[0], filepath.FromSlash(f.name)), f.text, 0o644); err != nil {
			fmt.Fprintln(stderr, "sdkgen:", err)
			return 1
		}
	}
	return 0
}
