package lines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
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

// JSON has plain keys, levels as they are configured, and seconds.
func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	log := Logger(&out, "info", "json")
	log.Debug("not yet")
	child := log.Named("watch").With("plugin", "echo")
	child.Warn("late", "took", 1500*time.Millisecond, "err", errors.New("a <b>"))
	log.SetLevel(hclog.Trace)
	child.Trace("now")
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(m["time"])); err != nil {
			t.Error(err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	want := []map[string]any{
		{"level": "warn", "msg": "late", "logger": "watch", "plugin": "echo", "took": 1.5, "err": "a <b>"},
		{"level": "trace", "msg": "now", "logger": "watch", "plugin": "echo"},
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("found  %v\nwanted %v", lines, want)
	}
	if level := log.GetLevel(); level != hclog.Trace {
		t.Errorf("found the level %v", level)
	}
}
