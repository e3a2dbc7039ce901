package main

import (
	"strings"
	"testing"

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
	for name, c := range map[string]struct {
		version int32
		state   string
		want    string
	}{
		"later version": {2, "\x03\x05\x00\x00", "found state version 2, wanted 1"},
		"empty":         {1, "", "found no number"},
		"no half line":  {1, "\x03", "cut short"},
	} {
		if err := new(counter).RestoreState(c.version, []byte(c.state)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, wanted %q", name, err, c.want)
		}
	}
}
