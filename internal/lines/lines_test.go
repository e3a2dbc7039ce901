package lines

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain \"ö\" €": "plain \"ö\" €", "a\nb": `a\nb`, "\x1b[0m": `\x1b[0m`, "\xff": `\xff`,
		"\x00": `\x00`, "\u202e": `\u202e`, "\t": `\t`, "": "",
	} {
		if got := Visible(in); got != want {
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
		if got := Of(tc.err); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("found %q, wanted %q", got, tc.want)
		}
	}
}

// Of a module with many faults, or long ones, so much is logged as can be read.
func TestFaultsAreBounded(t *testing.T) {
	var out bytes.Buffer
	list := make([]string, maxLogged+10)
	list[0] = strings.Repeat("x", 1<<20)
	log := hclog.New(&hclog.LoggerOptions{Output: &out})
	Log(log, "refused", &host.LoadError{Plugin: "p", Module: "m", Faults: list})
	if n := strings.Count(out.String(), "\n"); n != maxLogged+1 ||
		!strings.Contains(out.String(), "and 10 more faults") || out.Len() > maxLogged*200+2*maxLine {
		t.Errorf("found %d lines and %d bytes", n, out.Len())
	}
}
