package examples

import (
	"context"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

func TestIntN(t *testing.T) {
	nc := tooltest.Find(t, "nc", "Debian: apt-get install netcat-openbsd")
	s := serve(t, "intn", nil)
	for plugin, prefix := range map[string]string{"int8": "", "int16": "\x00", "int32": "\x00\x00\x00"} {
		if got := run(t, prefix+"\x05hello", nc, "-N", "127.0.0.1", s.port(plugin)); got != prefix+"\x05olleh" {
			t.Errorf("%s: found %q", plugin, got)
		}
		c := s.dial(t, plugin)
		c.send(prefix + "\x02hi" + prefix + "\x05he")
		c.expect(prefix + "\x02ih")
		if out, err := s.ReloadPlugin(context.Background(), plugin, true); err != nil || out.Migrated != 1 {
			t.Fatalf("%s: %v, %v\n%s", plugin, out, err, s.log)
		}
		c.send("llo")
		c.expect(prefix + "\x05olleh")
	}
	c := s.dial(t, "int32")
	c.send("\x00\x10\x00\x01")
	const long = "1048577 bytes are too long"
	if got := c.rest(); got != "\x00\x00\x00"+string(rune(len(long)))+long {
		t.Errorf("found %q", got)
	}
}
