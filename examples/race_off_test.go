//go:build !race

package examples

import "testing"

// compiler is none: the server under test compiles in this process.
func compiler(*testing.T) []string { return nil }
