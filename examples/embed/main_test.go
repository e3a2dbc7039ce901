//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long the test waits for what must come: two Go guests are built meanwhile.
const patience = 3 * time.Minute

// binary is the program. TestMain builds it, without the race detector: wazero takes a
// minute under that for what it compiles in a second.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "embed")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "embed")
	if text, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, text)
		return 1
	}
	return m.Run()
}

// program is the program, running in a folder of its own.
type program struct {
	*testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner // of its log
	said  bytes.Buffer   // those that were read
}

func start(t *testing.T, dir string) *program {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := &program{T: t, cmd: exec.Command(binary), lines: bufio.NewScanner(r)}
	p.cmd.Dir, p.cmd.Stderr = dir, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()
		r.Close()
	})
	return p
}

// await reads the log up to the line that has a text, and returns what follows it.
func (p *program) await(text string) string {
	p.Helper()
	for p.lines.Scan() {
		fmt.Fprintln(&p.said, p.lines.Text())
		if _, rest, ok := strings.Cut(p.lines.Text(), text); ok {
			return rest
		}
	}
	p.Fatalf("the log ended without %q (%v):\n%s", text, p.lines.Err(), p.said.Bytes())
	return ""
}

// build builds a version of the counter, and saves it in dir.
func build(t *testing.T, version, dir string) {
	t.Helper()
	file := filepath.Join(dir, "counter.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file+".new", "../counter/"+version)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func configure(t *testing.T, dir, text string) {
	t.Helper()
	text += "admin: {listen: off}\ncache: {dir: " + filepath.Join(dir, "cache") + "}\n"
	if err := os.WriteFile(filepath.Join(dir, "wirehost.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEmbed serves, reloads on a save while a connection is open, and ends.
func TestEmbed(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds guests")
	}
	dir := t.TempDir()
	yaml, err := os.ReadFile("wirehost.yaml")
	if err != nil {
		t.Fatal(err)
	}
	configure(t, dir, strings.ReplaceAll(string(yaml), ":7024", ":0"))
	build(t, "v1", dir)
	p := start(t, dir)
	p.await("ready")
	_, address, _ := strings.Cut(strings.Trim(p.lines.Text(), `"`), "tcp://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(c)
	says := func(text, want string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); got != want {
			t.Fatalf("found %q, %v, wanted %q", got, err, want)
		}
	}
	says("a\n", "line 1\n")
	build(t, "v2", dir)
	p.await("version is active")
	says("half\n", "line 2, 4 bytes\n")

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await("shutting down")
	says("last\n", "line 3, 8 bytes\n")
	c.Close()
	p.await("ended")
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("found %v, wanted a clean end", err)
	}
}

// TestFaults: what is wrong is told as well as the command does.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"plugins: {p: {module: gone.wasm}}\n", "gone.wasm: no such file or directory"},
		{"plugins: {p: {modul: p.wasm}}\n", `wirehost.yaml:1: plugins.p.modul: found an unknown key`},
		{"plugins: {p: {module: \"builtin:echo\", isolation: proces}}\n",
			`wirehost.yaml:1: plugins.p.isolation: found "proces", wanted`},
		{"plugins: {p: {module: \"builtin:echo\"}}\n", `builtin:echo: `},
	} {
		dir := t.TempDir()
		configure(t, dir, c.yaml)
		p := start(t, dir)
		p.await(c.want)
		if err := p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: found %v, wanted exit code 1", c.yaml, err)
		}
	}
}
