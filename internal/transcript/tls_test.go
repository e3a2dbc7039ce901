package transcript

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TLS in the middle, whichever side is its client; the guest verifies what it connects to.
func TestTLS(t *testing.T) {
	const offers, starts = guests + "offers_tls.wasm", guests + "starts_tls.wasm"
	for name, c := range map[string]struct{ module, text, want string }{
		"client": {offers, `
send "T"
expect "go"
tls
expect "up"
send "hello"
expect "hello"
close
expect close`, ""},
		"no TLS": {guests + "counter.wasm", `
tls`, "t:1: whole: tls: tls: first record does not look like a TLS handshake"},
		"no answer": {guests + "connect.wasm", `
bob: tls server`, "t:1: whole: tls: the guest does not answer the handshake"},
		"twice": {offers, `
send "T"
expect "go"
tls
expect "up"
tls`, "t:5: whole: tls: it is on"},
		"an end without close_notify": {offers, `
send "T"
expect "go"
tls
expect "up"
send "hello"
expect "hello"
reset`, ""},
		"server": {starts, `
send "tcp://127.0.0.1:5432"
db: accept tcp://127.0.0.1:5432
db: expect "STARTTLS\r\n"
db: send "go"
expect hex 00 00 00 00
db: tls
db: expect "behind\r\n"
expect hex b8 0b 00 00
db: send "over"
expect "over"
db: close
expect hex e8 03 00 00
db: expect close`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			err := runWhole(t, c.module, c.text)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v, wanted %q", err, c.want)
			}
			if left, err := filepath.Glob(os.TempDir() + "/wirehost-transcript-*"); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
	if _, err := runText(t, offers, `
send "T"
expect "go"
tls
expect "up"
send "hello"
expect "hello"`); err != nil {
		t.Error(err)
	}
	tr, err := Parse("t", "tls")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), Plugin{Config: config.Plugin{Module: offers}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RunWhole(tr, nil); err == nil || !strings.Contains(err.Error(), "see Plugin.For") {
		t.Errorf("found %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
