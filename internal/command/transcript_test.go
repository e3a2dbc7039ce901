package command

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTestCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.txt", "send \"abc\"\nexpect \"abc\"\n")
	bad := file("bad.txt", "send \"abc\"\nexpect \"abd\"\n")
	wrong := file("wrong.txt", "send abc\n")
	two := file("two.txt", "amy: send \"?\"\namy: expect \"1\"\nbob: send \"?\"\nbob: expect \"2\"\n")
	const counts = "../../host/testdata/counts_all.wasm" // answers with how many connections its instance has had
	const echo = "../../plugins/echo/echo.wasm"
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"test", echo, good}, exitFine, "ok " + good + ": 4 runs\n", ""},
		{[]string{"test", echo, good, bad}, exitFailed,
			"FAIL " + bad + ":2: whole: the streams part after 2 bytes\n" +
				"  wanted \"abd\"\n  found  \"abc\"\n            ^\n", ""},
		{[]string{"test", counts, two}, exitFailed,
			"FAIL " + two + ":4: whole, on two event loops: the streams part after 0 bytes\n", ""},
		{[]string{"test", counts, two}, exitFailed, "serve and test the plugin with isolation shared\n", ""},
		{[]string{"test", "--isolation", "shared", counts, two}, exitFine, "ok " + two + ": 4 runs\n", ""},
		{[]string{"test", "../../host/testdata/hostile/loop_forever.wasm", bad}, exitFailed,
			"FAIL " + bad + ":2: whole: the connection ended: a reset\n", "cause=time"},
		{[]string{"test", "../../host/testdata/hostile/loop_in_start_factory.wasm", bad}, exitFailed, "",
			"over its time limit"},
		{[]string{"test", "../../host/testdata/hostile/says_why_it_traps.wasm", good}, exitFailed, "",
			"panic: no way to begin"},
		{[]string{"test", echo, wrong}, exitFailed, "", wrong + `:1:6: found "abc", wanted text in double quotes`},
		{[]string{"test", filepath.Join(dir, "none.wasm"), good}, exitFailed, "", "no such file"},
		{[]string{"test", echo, filepath.Join(dir, "none.txt")}, exitFailed, "", "no such file"},
		{[]string{"test", echo, wrong, filepath.Join(dir, "none.txt"), good}, exitFailed, "ok " + good,
			wrong + `:1:6: found "abc", wanted text in double quotes, or hex and pairs of digits` +
				"\nwirehost: open " + filepath.Join(dir, "none.txt")},
		{[]string{"test", echo}, exitUsage, "", "found no TRANSCRIPT"},
		{[]string{"test"}, exitUsage, "", "found no FILE.wasm"},
	} {
		var stdout, stderr bytes.Buffer
		code := Run(c.args, os.Environ(), &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) ||
			!strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%q: exit %d\n%s%s", c.args, code, stdout.Bytes(), stderr.Bytes())
		}
	}
}

// tail keeps the end, and no half line.
func TestTail(t *testing.T) {
	var log tail
	for n := range 2000 {
		fmt.Fprintf(&log, "line %d of the log\n", n)
	}
	var out bytes.Buffer
	if err := log.show(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if len(text) > tailBytes || len(text) < tailBytes-100 || !strings.HasPrefix(text, "line ") ||
		!strings.HasSuffix(text, "\nline 1999 of the log\n") {
		t.Errorf("found %d bytes: %q", len(text), text)
	}
}
