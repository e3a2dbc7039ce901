package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func start() (*sdktest.Server, error) { return sdktest.Start(new(factory), sdktest.Options{}) }

const structured = `<165>1 2026-01-01T00:00:00Z host app 17 ID [a b="]\"\\"][c d="e"] ` + "\ufeffhello"

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		text, want string
		level      wirehost.Level
	}{
		{structured, "local4.notice host app[17]: hello", wirehost.LevelInfo},
		{"<11>1 - host app - - - hello", "user.err host app: hello", wirehost.LevelError},
		{"<0>1 - host app - - -", "kern.emerg host app: ", wirehost.LevelError},
		{"<132>Jan  1 00:00:00 host app: hello\n", "local0.warning host app: hello", wirehost.LevelWarn},
		{"<13>Jan  1 00:00:00 1 app: hello", "user.notice 1 app: hello", wirehost.LevelInfo},
		{"<7>hello", "kern.debug hello", wirehost.LevelDebug},
	} {
		s, err := start()
		if err != nil {
			t.Fatal(err)
		}
		s.Bind("udp://127.0.0.1:514").Receive(netip.MustParseAddrPort("192.0.2.7:514"), c.text)
		if len(s.Lines) != 1 || s.Lines[0] != (sdktest.Line{Level: c.level, Text: c.want}) {
			t.Errorf("%q: found %v, wanted %v %q", c.text, s.Lines, c.level, c.want)
		}
	}
}

func TestRejected(t *testing.T) {
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{"", "hello", "<", "<>x", "<1", "<x>x", "<192>x", "<1234>x", "<1>1 - host", `<1>1 - h a - - [x`,
		`<1>1 - h a - - x`, `<1>1 - h a - - x]`}
	s.Bind("udp://127.0.0.1:514").Receive(netip.MustParseAddrPort("192.0.2.7:514"), bad...)
	if n, _ := s.Metric("rejected_total"); int(n) != len(bad) || len(s.Lines) > 0 {
		t.Errorf("rejected %v of %d, logged %v", n, len(bad), s.Lines)
	}
}

// However a stream is cut, and framed, the messages are the same.
func TestFrames(t *testing.T) {
	input := "<13>one\n\n12 <13>two\nmore8 <13>six!<13>seven\r\n"
	if r := sdktest.ChunkLaw(t, start, []byte(input)); r.Logged != 4 || r.Disconnecting {
		t.Errorf("found %s", r)
	}
	for _, bad := range []string{"8193 <13>x", "123456<13>", "12x <13>", strings.Repeat("x", longest+1)} {
		if r := sdktest.ChunkLaw(t, start, []byte("<13>one\n"+bad)); r.Logged != 1 || !r.Disconnecting {
			t.Errorf("%.20q: found %s", bad, r)
		}
	}
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send("<13>no end")
	c.Finish()
	if _, ended := c.Ended(); !ended || len(s.Lines) != 1 {
		t.Errorf("ended %t, logged %v", ended, s.Lines)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(structured+"\n8 <13>six!"), 7)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at >= 0 {
			exampletest.Cut(t, start, b, at)
		}
	})
}
