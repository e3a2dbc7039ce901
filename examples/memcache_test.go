package examples

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestMemccapable runs libmemcached's own test of servers.
func TestMemccapable(t *testing.T) {
	capable := tooltest.Find(t, "memccapable", "Debian: apt-get install libmemcached-tools")
	s := serve(t, "memcache", nil)
	out := run(t, "", capable, "-h", "127.0.0.1", "-p", s.port("memcache"), "-a")
	if passed := strings.Count(out, "[pass]"); passed < 20 || strings.Contains(out, "[FAIL]") ||
		!strings.Contains(out, "All tests passed") {
		t.Errorf("found %d tests passed in\n%s", passed, out)
	}
	t.Logf("%s", out)
}

// TestMemcacheFull fills it, and it goes on.
func TestMemcacheFull(t *testing.T) {
	s := serve(t, "memcache", nil)
	c := s.dial(t, "memcache")
	value := strings.Repeat("x", 1<<20)
	stored, full := 0, 0
	for i := range 3000 { // of growing values, so that none fits another's place
		fmt.Fprintf(c, "set k%d 0 0 %d\r\n%s\r\n", i, 100*i, value[:100*i])
		switch line, err := c.r.ReadString('\n'); line {
		case "STORED\r\n":
			stored++
		case "SERVER_ERROR out of memory storing object\r\n":
			full++
		default:
			t.Fatalf("%d: found %q, %v\n%s", i, line, err, s.log)
		}
	}
	if stored < 400 || full < 100 {
		t.Errorf("stored %d, refused %d", stored, full)
	}
	c.send("set k7 5 0 4\r\nab")
	if _, err := s.ReloadPlugin(context.Background(), "memcache", true); err != nil {
		t.Errorf("reload of a full cache: %v", err)
	}
	c.send("cd\r\nget k7\r\n")
	c.expect("STORED\r\nVALUE k7 5 4\r\nabcd\r\nEND\r\n")
}
