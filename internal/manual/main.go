// Command manual writes the pages of the manual, section 1, one for each command of
// wirehost, for those who package it: go run ./internal/manual DIR. Their date is
// SOURCE_DATE_EPOCH's, or today. It is a program of its own so that wirehost is not linked
// with what makes them.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"github.com/wirehost/wirehost/internal/command"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// run writes the pages into a folder, which it makes where there is none.
func run(args []string) error {
	if len(args) != 1 {
		return errors.New("found no DIR, wanted one argument: the folder for the pages")
	}
	if err := os.MkdirAll(args[0], 0o777); err != nil {
		return err
	}
	root := command.Tree()
	root.DisableAutoGenTag = true // each page has a date
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "wirehost", Manual: "wirehost"}, args[0])
}
