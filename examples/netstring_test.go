package examples

import (
	"context"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

func TestNetstring(t *testing.T) {
	nc := tooltest.Find(t, "nc", "Debian: apt-get install netcat-openbsd")
	s := serve(t, "netstring", nil)
	// sha256sum says so
	const hello = "64:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824,"
	if got := run(t, "5:hello,5:hello,", nc, "-N", "127.0.0.1", s.port("netstring")); got != hello+hello {
		t.Errorf("found %q", got)
	}
	c := s.dial(t, "netstring")
	c.send("5:hello,5:he")
	c.expect(hello)
	if out, err := s.ReloadPlugin(context.Background(), "netstring", true); err != nil || out.Migrated != 1 {
		t.Fatalf("%v, %v\n%s", out, err, s.log)
	}
	c.send("llo,x")
	if got := c.rest(); got != hello {
		t.Errorf("found %q", got)
	}
}
