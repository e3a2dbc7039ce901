package transcript

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// runWhole runs a transcript uncut, for guests that care how their stream is cut.
func runWhole(t *testing.T, module, text string) error {
	t.Helper()
	tr, err := Parse("t", strings.TrimPrefix(text, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), Plugin{Config: config.Plugin{Module: module}}.For(tr))
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(s.RunWhole(tr, nil), s.Close())
}

// The other end of a connection that a guest makes, and a reload in the middle.
func TestAcceptAndReload(t *testing.T) {
	const connects, counts = guests + "connect.wasm", guests + "counter.wasm"
	for name, c := range map[string]struct{ module, text, want string }{
		"accepted": {connects, `
send "tcp://127.0.0.1:5432"
db: accept tcp://127.0.0.1:5432
expect hex 02 00 00 00 d0 07 00 00
send "unix:///there"
files: accept unix:///there
expect hex 03 00 00 00 d0 07 00 00
db: expect nothing
db: send "tcp://127.0.0.1:5432"
db: accept tcp://127.0.0.1:5432
expect hex 04 00 00 00 d0 07 00 00
db: reset
files: close
`, ""},
		"not accepted": {connects, `
bob: send "tcp://127.0.0.1:5432"
bob: expect hex 02 00 00 00 d0 07 00 00
bob: send "tcp://127.0.0.1:5432"
db: accept tcp://127.0.0.1:5432
bob: expect hex 03 00 00 00 d0 07 00 00`, "t:5: whole: the guest has connected to tcp://127.0.0.1:5432 once more"},
		"not connected": {connects, `
db: accept tcp://127.0.0.1:5432`, "t:1: whole: the guest has not connected to tcp://127.0.0.1:5432"},
		"nobody listens elsewhere": {connects, `
send "tcp://127.0.0.1:5433"
db: accept tcp://127.0.0.1:5432`, "t:2: whole: the guest has not connected"},
		"reloaded": {counts, `
send "ab"
expect hex 00 01
reload
send "c"
expect hex 02
bob: send "d"
bob: expect hex 00
reload
send "e"
expect hex 03`, ""},
		"does not move": {guests + "hostile/declines_state.wasm", `
connect
reload`, "t:2: whole: reload: a connection does not move: saveState declined"},
	} {
		t.Run(name, func(t *testing.T) {
			err := runWhole(t, c.module, c.text)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v, wanted %q", err, c.want)
			}
		})
	}
}
