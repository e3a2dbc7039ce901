package transcript

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

func runText(t *testing.T, module, text string) (int, error) {
	t.Helper()
	tr, err := Parse("t", text)
	if err != nil {
		t.Fatal(err)
	}
	return Run(context.Background(), Plugin{Config: config.Plugin{Module: module}}, tr)
}

const lines = "../../plugins/linereceiver/linereceiver.wasm"

func TestRun(t *testing.T) {
	for _, c := range []struct {
		module, text string
		runs         int
	}{
		{"../../host/testdata/echo.wasm", "send \"hello\"\nexpect \"hello\"\nclose\nexpect close", 6},
		{"../../host/testdata/echo.wasm", "bob: send \"b\"\namy: send \"a\"\nbob: expect \"b\"\namy: expect \"a\"\nbob: reset", 4},
		{"../../host/testdata/echo.wasm", "connect\nexpect nothing", 1},
		{"../../host/testdata/hostile/unreachable.wasm", "send \"x\"\nexpect reset\nconnect\nsend \"x\"\nexpect reset", 4},
		{lines, "config {\"delimiter\": \"\\n\"}\nsend \"one\\ntwo\\nthr\"\nexpect \"one\\ntwo\\n\"\nsend \"ee\\n\"\nexpect \"three\\n\"\nclose\nexpect close", 15},
	} {
		if runs, err := runText(t, c.module, c.text); err != nil || runs != c.runs {
			t.Errorf("%q: %d runs, %v, wanted %d", c.text, runs, err, c.runs)
		}
	}
}

func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		module, text string
		line         int
		want         string
	}{
		{"../../host/testdata/echo.wasm", "send \"hello\"\nexpect \"help!\"", 2, "the streams part after 3 bytes\n  wanted \"help!\"\n  found  \"hello\"\n             ^"},
		{"../../host/testdata/echo.wasm", "send \"helloworld\"\nexpect \"hello\"\nexpect \"word\"", 3, "the streams part after 8 bytes\n  wanted \"helloword\"\n  found  \"helloworld\"\n                  ^"},
		{"../../host/testdata/echo.wasm", "send \"" + strings.Repeat("é", 20) + "ab\"\nexpect \"" + strings.Repeat("é", 20) + "\"\nexpect \"b\"", 3, "part after 40 bytes\n  wanted … \"" + strings.Repeat("é", 15) + "b\"\n  found  … \"" + strings.Repeat("é", 15) + "ab\"\n                           ^"},
		{"../../host/testdata/echo.wasm", "send \"hel\"\nexpect \"hello\"", 2, "the guest sent 3 of 5 bytes\n  wanted \"hello\"\n  found  \"hel\"\n             ^"},
		{"../../host/testdata/echo.wasm", "expect \"x\"", 1, "does not answer"},
		{"../../host/testdata/echo.wasm", "send \"x\"", 1, "what is not expected"},
		{"../../host/testdata/echo.wasm", "send \"x\"\nexpect \"x\"\nexpect close", 3, "still open"},
		{"../../host/testdata/echo.wasm", "close\nexpect reset", 2, "found an orderly close, wanted a reset"},
		{"../../host/testdata/hostile/loop_forever.wasm", "send \"x\"\nexpect \"x\"", 2, "a reset"},
	} {
		_, err := runText(t, c.module, c.text)
		var f *Failure
		if !errors.As(err, &f) || f.Line != c.line || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, wanted line %d and %q", c.text, err, c.line, c.want)
		}
	}
	for module, want := range map[string]string{
		"../../host/testdata/hostile/refuses_start.wasm": "startFactory returned 7",
		"missing.wasm": "no such file",
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
		"both open":         "amy: send \"?\"\namy: expect \"1\"\nbob: send \"?\"\nbob: expect \"2\"",
		"one after another": "send \"?\"\nexpect \"1\"\nconnect\nsend \"?\"\nexpect \"2\"",
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := Parse("t", text)
			if err != nil {
				t.Fatal(err)
			}
			p := Plugin{Config: config.Plugin{Module: "../../host/testdata/counts_all.wasm", Isolation: config.IsolationShared}}
			if runs, err := Run(context.Background(), p, tr); err != nil || runs != 4 {
				t.Errorf("shared: %d runs, %v, wanted 4", runs, err)
			}
			p.Config.Isolation = config.IsolationLoop
			_, err = Run(context.Background(), p, tr)
			var f *Failure
			if !errors.As(err, &f) || f.Cut != "whole, on two event loops" || !strings.Contains(f.More, "found  \"1\"") || !strings.Contains(f.More, "isolation shared") {
				t.Errorf("loop: %v", err)
			}
			p.Config.Isolation = config.IsolationConnection // has no state for all even on one loop
			if _, err = Run(context.Background(), p, tr); !errors.As(err, &f) || f.Cut != "whole" || strings.Contains(f.More, "isolation") {
				t.Errorf("connection: %v", err)
			}
		})
	}
}
