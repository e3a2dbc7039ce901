package main

import (
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func fresh() *factory {
	return &factory{now: func() time.Time { return time.Date(1900, 1, 2, 3, 4, 5, 0, time.UTC) }}
}

func open(t *testing.T, config string, stalled bool) (*sdktest.Server, *sdktest.Conn) {
	t.Helper()
	s, err := sdktest.Start(fresh(), sdktest.Options{Config: config, Stalled: stalled})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Accept()
}

func TestTellers(t *testing.T) {
	for config, want := range map[string]string{
		`{"protocol": "qotd", "quote": "Less is more."}`:          "Less is more.\r\n",
		`{"protocol": "daytime"}`:                                 "Tue Jan  2 03:04:05 1900\r\n",
		`{"protocol": "time"}`:                                    "\x00\x01\x7c\xa5", // 97,445 s
		`{"protocol": "who", "users": ["root", "ann", "nobody"]}`: "root\r\nann\r\nnobody\r\n",
		`{"protocol": "who"}`:                                     "",
	} {
		_, c := open(t, config, false)
		if got := c.Take(); got != want {
			t.Errorf("%s: found %q, wanted %q", config, got, want)
		}
		if r, ended := c.Ended(); !ended || r != wirehost.Done {
			t.Errorf("%s: found %v, %t, wanted the end", config, r, ended)
		}
	}
}

// The example of RFC 868: 2,208,988,800 is 1 January 1970. It wraps in 2036.
func TestTime(t *testing.T) {
	for want, at := range map[string]time.Time{
		"\x83\xaa\x7e\x80": time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		"\xff\xff\xff\xff": time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC),
		"\x00\x00\x00\x00": time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC),
	} {
		f := &factory{now: func() time.Time { return at }}
		if f.time() != want {
			t.Errorf("%v: found %x, wanted %x", at, f.time(), want)
		}
	}
}

func TestDiscard(t *testing.T) {
	s, c := open(t, `{"protocol": "discard"}`, false)
	c.Send("hello")
	if err := s.Reload(fresh()); err != nil {
		t.Fatal(err)
	}
	c.Send("hello")
	if c.Take() != "" || c.Disconnecting() {
		t.Error("it answers")
	}
	if c.Finish(); !c.Disconnecting() {
		t.Error("it stays")
	}
}

// pattern is what chargen begins with.
func pattern(lines int) string {
	var all, b strings.Builder
	for c := ' '; c <= '~'; c++ {
		all.WriteRune(c)
	}
	ring := all.String() + all.String()
	for i := range lines {
		b.WriteString(ring[i%95:i%95+72] + "\r\n")
	}
	return b.String()
}

func TestChargen(t *testing.T) {
	s, c := open(t, `{"protocol": "chargen"}`, true)
	const piece = rows * (width + 2)
	for range 2 {
		if c.Queued() != piece {
			t.Fatalf("%d bytes are queued, wanted one piece of %d", c.Queued(), piece)
		}
		c.Drain()
	}
	if err := s.Reload(fresh()); err != nil {
		t.Fatal(err)
	}
	c.Drain()
	c.Send("what it is sent it drops")
	c.Finish()
	c.Drain()
	if got := c.Take(); got != pattern(5*rows) {
		t.Errorf("found %d bytes, %.200q", len(got), got)
	}
	c.Break(wirehost.Lost)
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		``:                       `found "", wanted one of chargen, daytime, discard, qotd, time, who`,
		`{"protocol": "gopher"}`: `found "gopher"`,
		`{"protocol": "qotd", "quote": "` + strings.Repeat("x", 511) + `"}`: "found 511 bytes, wanted at most 510",
	} {
		if _, err := sdktest.Start(fresh(), sdktest.Options{Config: config}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: found error %v, wanted %q", config, err, want)
		}
	}
}

func TestRestoreRefused(t *testing.T) {
	for state, p := range map[string]wirehost.StateSaver{
		"x":        &discard{},
		"y":        &teller{},
		"":         &chargen{},
		"\x5f":     &chargen{},
		"\x01\x00": &chargen{},
	} {
		if err := p.RestoreState(1, []byte(state)); err == nil {
			t.Errorf("%T takes %q", p, state)
		}
	}
}
