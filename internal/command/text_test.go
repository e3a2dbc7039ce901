package command

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// Whatever the text, in whatever place, a line of the log that begins like an
// entry is one: the others are a value's.
func TestLogLinesCantBeForged(t *testing.T) {
	const evil = "a\nb\r\x1b[31m\x80\u2028c"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := (&app{stderr: &out}).logger(config.Log{Level: "info", Format: format})
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

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{"plain \"ö\" €": "plain \"ö\" €", "a\nb": `a\nb`, "\x1b[0m": `\x1b[0m`, "\xff": `\xff`, "\x00": `\x00`, "\u202e": `\u202e`, "\t": `\t`, "": ""} {
		if got := visible(in); got != want {
			t.Errorf("%q: found %q, wanted %q", in, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	le := &host.LoadError{Plugin: "p", Module: "m", Faults: []string{"one\nforged", "two"}}
	cases := []struct {
		err  error
		want []string
	}{
		{errors.New("a"), []string{"a"}},
		{errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))), []string{"a", "b", "c"}},
		{fmt.Errorf("x: %w", errors.Join(errors.New("a"), errors.New("b"))), []string{"x: a", "b"}},
		{config.Faults{{Found: "a"}, {Found: "b"}}, []string{"found a", "found b"}},
		{errors.Join(le, errors.New("c")), []string{`plugin p: module m: one\nforged`, "plugin p: module m: two", "c"}},
	}
	for _, tc := range cases {
		if got := faults(tc.err); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("found %q, wanted %q", got, tc.want)
		}
	}
}

// Of a module with many faults, or long ones, so much is logged as can be read.
func TestFaultsAreBounded(t *testing.T) {
	var out bytes.Buffer
	list := make([]string, maxFaults+10)
	list[0] = strings.Repeat("x", 1<<20)
	logFaults((&app{stderr: &out}).logger(config.Log{Level: "info"}), "refused", &host.LoadError{Plugin: "p", Module: "m", Faults: list})
	if n := strings.Count(out.String(), "\n"); n != maxFaults+1 || !strings.Contains(out.String(), "and 10 more faults") || out.Len() > maxFaults*200+2*maxFault {
		t.Errorf("found %d lines and %d bytes", n, out.Len())
	}
}
