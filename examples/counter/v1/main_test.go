package main

import (
	"testing"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start() (*sdktest.Server, error) { return sdktest.Start(factory{}, sdktest.Options{}) }

func TestCount(t *testing.T) {
	const want = "line 1\nline 2\nline 3\n"
	next := func() wirehost.Factory { return factory{} }
	input := []byte("a\n\nccc\nhalf")
	for _, r := range []sdktest.Result{sdktest.ChunkLaw(t, start, input), sdktest.ReloadLaw(t, start, next, input)} {
		if r.Output != want {
			t.Errorf("found %s\nwanted %q", r, want)
		}
	}
}

func TestRestoreRefused(t *testing.T) {
	exampletest.RestoreRefused(t, "later version", new(counter), 2, "\x03\x05\x00\x00",
		"found state version 2, wanted 1")
	exampletest.RestoreRefused(t, "empty", new(counter), 1, "", "found no number")
	exampletest.RestoreRefused(t, "no half line", new(counter), 1, "\x03", "cut short")
}
