package reactor_test

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// TestSessionsRest: a session that is not used for two seconds lets go of its ciphers, one
// that is used keeps them, and it goes on with them made anew. One that ends is forgotten.
func TestSessionsRest(t *testing.T) {
	p := &collecting{each: func(p *collecting) { p.Write(p.got.Bytes()); p.got.Reset() }}
	sys, peer, client := collect(t, memnet.Options{}, reactor.Config{}, p)
	tc := tls.Client(peer.Conn(), client)
	echo := func(text string) {
		t.Helper()
		if _, err := io.WriteString(tc, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(tc, got); err != nil || string(got) != text {
			t.Fatalf("%q came back as %q, %v", text, got, err)
		}
	}
	wait := func(awake int) {
		t.Helper()
		sys.Settle()
		sys.Advance(time.Second)
		sys.Settle()
		if got := reactor.Awake(p.Transport); got != awake {
			t.Fatalf("%d sessions have ciphers, wanted %d", got, awake)
		}
	}
	for n := range 3 {
		for range 3 {
			echo(strings.Repeat("x", 1+n*7000))
			wait(1)
		}
		wait(0)
		wait(0)
	}
	echo("the last")
	if err := tc.Close(); err != nil {
		t.Fatal(err)
	}
	sys.Settle()
	if got := reactor.Awake(p.Transport); got != 0 { // at once: garbage that is held for a second is much
		t.Errorf("%d sessions have ciphers behind the end, wanted none", got)
	}
}
