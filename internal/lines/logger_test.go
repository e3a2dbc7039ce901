package lines

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Whatever the text, in whatever place, a line of the log that begins like an
// entry is one: the others are a value's.
func TestLogLinesCantBeForged(t *testing.T) {
	const evil = "a\nb\r\x1b[31m\x80\u2028c"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := Logger(&out, "info", format)
		log.Info(evil, "key"+evil, evil, "err", errors.New(evil))
		log.Named(evil).With(evil, evil).Warn("m")
		text := out.String()
		entries := 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, lineOfValue) || format == "json" {
				entries++
			}
		}
		if entries != 2 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s: found %d entries in %q, wanted 2", format, entries, text)
		}
		if strings.ContainsAny(text, "\r\x1b\u2028") && format == "text" {
			t.Errorf("%s: found control characters in %q", format, text)
		}
	}
}
