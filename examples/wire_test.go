package examples

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestWire(t *testing.T) {
	s := serve(t, "wire", nil)
	for plugin, want := range map[string]string{"qotd": "Be liberal in what you accept.\r\n", "who": "ann\r\nbob\r\n"} {
		if got := s.dial(t, plugin).rest(); got != want {
			t.Errorf("%s: found %q, wanted %q", plugin, got, want)
		}
	}

	at, err := time.Parse(time.ANSIC+"\r\n", s.dial(t, "daytime").rest())
	if off := time.Since(at); err != nil || off < -time.Second || off > patience {
		t.Errorf("daytime is %v, %v off, %v", at, off, err)
	}
	stamp := s.dial(t, "time").rest()
	if len(stamp) != 4 {
		t.Fatalf("time: found %q", stamp)
	}
	off := time.Since(time.Unix(int64(binary.BigEndian.Uint32([]byte(stamp)))-2208988800, 0))
	if off < -time.Second || off > patience {
		t.Errorf("time is %v off", off)
	}

	sink := s.dial(t, "discard")
	sink.send(strings.Repeat("x", 4<<20))
	if err := sink.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := sink.rest(); got != "" {
		t.Errorf("discard answers %q", got)
	}
}

// TestChargen reads 8 MiB, with a reload in their middle, and the pattern goes
// on. Meanwhile another peer reads nothing.
func TestChargen(t *testing.T) {
	s := serve(t, "wire", nil)
	c := s.dial(t, "chargen")
	s.dial(t, "chargen")
	var ring strings.Builder
	for range 2 {
		for b := ' '; b <= '~'; b++ {
			ring.WriteRune(b)
		}
	}
	const lines = 8 << 20 / 74
	for i := range lines {
		if i == lines/2 {
			if out, err := s.ReloadPlugin(context.Background(), "chargen", true); err != nil || out.Migrated != 2 {
				t.Fatalf("%v, %v\n%s", out, err, s.log)
			}
		}
		c.expect(ring.String()[i%95:i%95+72] + "\r\n")
	}
}
