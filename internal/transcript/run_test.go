package transcript

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// runText runs a transcript, whose first line begins behind the text's first line end.
func runText(t *testing.T, module, text string) (int, error) {
	t.Helper()
	tr, err := Parse("t", strings.TrimPrefix(text, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return Run(context.Background(), Plugin{Config: config.Plugin{Module: module}}, tr)
}

// Guests, named after what they do with what they are sent.
const (
	guests    = "../../host/testdata/"
	echoes    = guests + "echo.wasm"
	traps     = guests + "hostile/unreachable.wasm"
	loops     = guests + "hostile/loop_forever.wasm"
	countsAll = guests + "counts_all.wasm" // answers each piece with how many connections there were
	lines     = "../../plugins/linereceiver/linereceiver.wasm"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, module, text string
		runs               int
	}{
		{"one connection", echoes, `
send "hello"
expect "hello"
close
expect close`, 6},
		{"two", echoes, `
bob: send "b"
amy: send "a"
bob: expect "b"
amy: expect "a"
bob: reset`, 4},
		{"nothing sent", echoes, `
connect
expect nothing`, 1},
		{"traps", traps, `
send "x"
expect reset
connect
send "x"
expect reset`, 4},
		{"metrics", guests + "metrics.wasm", `
send "four"
expect metric bytes_total 4
send "xx"
expect metric bytes_total 6
bob: connect
expect metric sizes 6`, 8},
		{"time", guests + "asks_time.wasm", `
wait 5s
send "x"
expect hex 05 b9 55 69
wait 1h
send "x"
expect hex 15 c7 55 69`, 3},
		{"datagrams", guests + "datagrams.wasm", `
datagram "?one"
expect datagram "?one"
bob: datagram "s"
bob: expect datagram hex 02 00 00 00
reload
datagram "?two" " words"
expect datagram "?two words"
bob: datagram "s"
bob: expect datagram hex 04 00 00 00`, 1},
		{"configured", lines, `
config {"delimiter": "\n"}
send "one\ntwo\nthr"
expect "one\ntwo\n"
send "ee\n"
expect "three\n"
close
expect close`, 15},
	} {
		if runs, err := runText(t, c.module, c.text); err != nil || runs != c.runs {
			t.Errorf("%s: %d runs, %v, wanted %d", c.name, runs, err, c.runs)
		}
	}
}

func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name, module, text string
		line               int
		want               string
	}{
		{"other bytes", echoes, `
send "hello"
expect "help!"`, 2, `the streams part after 3 bytes
  wanted "help!"
  found  "hello"
             ^`},
		{"another value of a metric", guests + "metrics.wasm", `
send "four"
expect metric bytes_total 5`, 2, "metric bytes_total: found 4, wanted 5"},
		{"no such metric", guests + "metrics.wasm", `
expect metric more 5`, 1, "the guest has defined no metric more"},
		{"other bytes of the second", echoes, `
send "helloworld"
expect "hello"
expect "word"`, 3, `the streams part after 8 bytes
  wanted "helloword"
  found  "helloworld"
                  ^`},
		{"behind a long beginning", echoes, `
send "éééééééééééééééééééé` + `ab"
expect "éééééééééééééééééééé"
expect "b"`, 3, `part after 40 bytes
  wanted … "éééééééééééééééb"
  found  … "éééééééééééééééab"
                           ^`},
		{"fewer bytes", echoes, `
send "hel"
expect "hello"`, 2, `the guest sent 3 of 5 bytes
  wanted "hello"
  found  "hel"
             ^`},
		{"another datagram", guests + "datagrams.wasm", `
datagram "?one"
expect datagram "?two"`, 2, `found another datagram
  wanted "?two"
  found  "?one"`},
		{"no datagram", guests + "datagrams.wasm", `
expect datagram "x"`, 1, "does not answer"},
		{"one more datagram", guests + "datagrams.wasm", `
datagram "?one"`, 1, "sent a datagram that is not expected"},
		{"no bytes", echoes, `
expect "x"`, 1, "does not answer"},
		{"more bytes", echoes, `
send "x"`, 1, "what is not expected"},
		{"no close", echoes, `
send "x"
expect "x"
expect close`, 3, "still open"},
		{"no reset", echoes, `
close
expect reset`, 2, "found an orderly close, wanted a reset"},
		{"a loop", loops, `
send "x"
expect "x"`, 2, "a reset"},
	} {
		_, err := runText(t, c.module, c.text)
		var f *Failure
		if !errors.As(err, &f) || f.Line != c.line || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, wanted line %d and %q", c.name, err, c.line, c.want)
		}
	}
	for module, want := range map[string]string{
		guests + "hostile/refuses_start.wasm": "startFactory returned 7",
		"missing.wasm":                        "no such file",
	} {
		if _, err := runText(t, module, "connect"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, wanted %q", module, err, want)
		}
	}
}

// A guest that relies on one state for all connections is found out, unless it is
// said to share one.
func TestRunOnTwoLoops(t *testing.T) {
	for name, text := range map[string]string{
		"both open": `
amy: send "?"
amy: expect "1"
bob: send "?"
bob: expect "2"`,
		"one after another": `
send "?"
expect "1"
connect
send "?"
expect "2"`,
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := Parse("t", text)
			if err != nil {
				t.Fatal(err)
			}
			p := Plugin{Config: config.Plugin{Module: countsAll, Isolation: config.IsolationShared}}
			if runs, err := Run(context.Background(), p, tr); err != nil || runs != 4 {
				t.Errorf("shared: %d runs, %v, wanted 4", runs, err)
			}
			p.Config.Isolation = config.IsolationLoop
			_, err = Run(context.Background(), p, tr)
			var f *Failure
			if !errors.As(err, &f) || f.Cut != "whole, on two event loops" ||
				!strings.Contains(f.More, "found  \"1\"") || !strings.Contains(f.More, "isolation shared") {
				t.Errorf("loop: %v", err)
			}
			p.Config.Isolation = config.IsolationConnection // has no state for all even on one loop
			if _, err = Run(context.Background(), p, tr); !errors.As(err, &f) || f.Cut != "whole" ||
				strings.Contains(f.More, "isolation") {
				t.Errorf("connection: %v", err)
			}
		})
	}
}
