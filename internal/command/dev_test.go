//go:build unix

package command

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

// developer is `wirehost dev`, running.
type developer struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	lines chan string // of both outputs; closed at their end
	all   []string
}

// develop starts dev on a project.
func develop(t *testing.T, dir string, args ...string) *developer {
	t.Helper()
	d := &developer{t: t, dir: dir, lines: make(chan string, 10000)}
	d.cmd = exec.Command(binary, append([]string{"dev", dir, "--log-format=text"}, args...)...)
	d.cmd.Env = append(os.Environ(), "WIREHOST_CACHE__DIR="+cacheDir)
	out, in := io.Pipe()
	d.cmd.Stdout, d.cmd.Stderr = in, in
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := d.cmd.Wait() // the state tells
		in.CloseWithError(fmt.Errorf("%w: %v", io.EOF, err))
	}()
	go func() {
		defer close(d.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // it may have ended
		for range d.lines {      // until it has
		}
	})
	return d
}

// await waits for a line that contains text, and returns what came before it.
func (d *developer) await(text string) (before []string) {
	d.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("it ended without %q:\n%s", text, strings.Join(d.all, "\n"))
			}
			d.all = append(d.all, line)
			if strings.Contains(line, text) {
				return before
			}
			before = append(before, line)
		case <-timeout.C:
			d.t.Fatalf("no %q in %s:\n%s", text, patience, strings.Join(d.all, "\n"))
		}
	}
}

// serving waits until it serves, and connects.
func (d *developer) serving() net.Conn {
	d.t.Helper()
	d.await("serving ")
	_, rest, _ := strings.Cut(d.all[len(d.all)-1], " on tcp://")
	address, _, _ := strings.Cut(rest, ";")
	return dial(d.t, address)
}

// save writes a file of the project, as editors do: beside it, and renamed.
func (d *developer) save(name, text string) {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	for _, err := range []error{os.WriteFile(file+"~", []byte(text), 0o600), os.Rename(file+"~", file)} {
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// interrupt ends it with SIGINT.
func (d *developer) interrupt() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = d.cmd.Process.Kill() }) // the exit code tells
	defer kill.Stop()
	for range d.lines {
	}
	if code := d.cmd.ProcessState.ExitCode(); code != exitFine {
		d.t.Errorf("found the exit code %d", code)
	}
}

// says sends text and wants an answer.
func says(t *testing.T, c net.Conn, text, want string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("found %q, %v, wanted %q", got, err, want)
	}
}

const anyPort = "--set=listeners.0.endpoint=tcp://127.0.0.1:0"

// An open connection gets the answer of the new version, and keeps its state; a
// build that fails shows why, and changes nothing.
func TestDevInGo(t *testing.T) {
	t.Parallel()
	dir := project(t, "go", "hello")
	counting := func(answer string) string {
		return `package main

import wirehost "github.com/wirehost/wirehost/sdk/go"

type counter struct {
	wirehost.Base
	n byte
}

func (p *counter) DataReceived(data []byte) {
	p.n += byte(len(data))
	p.Transport.Write([]byte{'` + answer + `', '0' + p.n})
}

func (p *counter) SaveState() ([]byte, bool) { return []byte{p.n}, true }

func (p *counter) RestoreState(_ int32, state []byte) error {
	p.n = state[0]
	return nil
}

type factory struct{}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return new(counter) }

func init() { wirehost.Register(factory{}) }

func main() {}
`
	}
	if err := os.WriteFile(filepath.Join(dir, "protocol.go"), []byte(counting("a")), 0o600); err != nil {
		t.Fatal(err)
	}
	d := develop(t, dir, anyPort)
	c := d.serving()
	says(t, c, "x", "a1")
	d.save("protocol.go", counting("b"))
	d.await("changed: protocol.go")
	d.await("migrated 1, dropped 0")
	says(t, c, "x", "b2")
	d.save("protocol.go", counting("b")+"broken\n")
	shown := strings.Join(d.await("build failed: exit status 2; hello@"), "\n")
	if !strings.Contains(shown, "protocol.go:29:1: syntax error") {
		t.Errorf("found no syntax error in\n%s", shown)
	}
	says(t, c, "x", "b3")
	d.save("protocol.go", counting("c"))
	d.await("migrated 1, dropped 0")
	says(t, c, "x", "c4")
	d.interrupt()
}

// made is a project whose make copies a module, from.wasm, and does what extra
// says before.
func made(t *testing.T, extra string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	b, err := os.ReadFile("../../plugins/echo/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Makefile": "x.wasm: from.bin source.c\n\t" + extra + "\n\tcp from.bin $@\n",
		"from.bin": string(b), "source.c": "1",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Builds that do not give a module: each is told, and what runs runs on.
func TestDevBadBuilds(t *testing.T) {
	t.Parallel()
	dir := made(t, "true")
	d := develop(t, dir, "--listen=tcp://127.0.0.1:0")
	c := d.serving()
	d.save("from.bin", "no module")
	d.await("not served; x@")
	if shown := strings.Join(d.all, "\n"); !strings.Contains(shown, `x.wasm`) || !strings.Contains(shown, "built in") {
		t.Errorf("found\n%s", shown)
	}
	says(t, c, "still", "still")
	d.save("Makefile", "x.wasm:\n\trm -f $@\n.PHONY: x.wasm\n")
	d.await("make -s ended well, but there is no .wasm in the folder")
	d.await("not served; x@")
	d.save("Makefile", "all:\n\tcp from.bin x.wasm; cp from.bin y.wasm\n")
	d.await("x.wasm and " + filepath.Join(dir, "y.wasm") +
		", wanted one .wasm, or a wirehost.yaml that says which to serve")
	d.save("wirehost.yaml", "plugins: {x: {module: none.wasm}}\n"+
		"listeners: [{endpoint: \"tcp://127.0.0.1:0\", plugin: x}]\n")
	d.await("make -s ended well, but wrote no " + filepath.Join(dir, "none.wasm"))
	d.save("wirehost.yaml", "plugins: {x: {modul: none.wasm}}\n")
	d.await("did you mean")
	d.await("not served; x@")
	says(t, c, "still", "still")
	d.interrupt()
}

// The first build may fail: it serves when one does not.
func TestDevBeginsBroken(t *testing.T) {
	t.Parallel()
	dir := made(t, "grep -q good source.c || { echo 'source.c:1:\tno good' >&2; exit 3; }")
	d := develop(t, dir, "--listen=tcp://127.0.0.1:0")
	d.await("  source.c:1:\tno good")
	d.await("build failed: exit status 2; nothing runs yet; save a file to try again")
	d.save("source.c", "good")
	says(t, d.serving(), "x", "x")
	d.save("source.c", "good too")
	d.await("x.wasm is what it was: x@")
	d.interrupt()
}

// Where a build fails for want of a tool, dev says so.
func TestDevSaysWhatIsMissing(t *testing.T) {
	fails, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "protocol.c"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	var out bytes.Buffer
	d := &dev{app: &app{stdout: &out}, build: builder{dir: dir, words: []string{fails}},
		ended: make(chan chan struct{})}
	go func() { close(<-d.ended) }()
	d.work(t.Context())
	for _, want := range []string{"missing: make. Install it: ",
		"missing: clang with the target wasm32. Install it: apt-get", "build failed: exit status 1; nothing runs yet"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("found no %q in\n%s", want, out.String())
		}
	}
}

// A build that hangs is ended, with all that it has started, when its sources are
// saved again, when its time is over, and at the end.
func TestDevHangingBuild(t *testing.T) {
	t.Parallel()
	dir := made(t, "grep -q good source.c || { exec >fifo; (trap '' TERM; echo child; sleep 1000) & wait; }")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	hangs := func() *bufio.Reader {
		t.Helper()
		f, err := os.Open(fifo)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		r := bufio.NewReader(f)
		if line, err := r.ReadString('\n'); err != nil || line != "child\n" {
			t.Fatalf("found %q, %v", line, err)
		}
		return r
	}
	gone := func(r *bufio.Reader) { // no process has the other end any more
		t.Helper()
		if b, err := r.ReadByte(); err != io.EOF {
			t.Fatalf("found %q, %v", b, err)
		}
	}
	d := develop(t, dir, "--listen=tcp://127.0.0.1:0", "--build-timeout=3s")
	gone(hangs())
	d.await("build failed: it took longer than 3s and was ended; --build-timeout sets another limit; nothing runs yet")
	d.save("source.c", "2")
	r := hangs()
	d.save("source.c", "good")
	d.await("build ended: it was saved again")
	gone(r)
	c := d.serving()
	d.save("source.c", "3")
	r = hangs()
	says(t, c, "x", "x")
	d.interrupt()
	gone(r)
}

// A change of the configuration is taken as well.
func TestDevConfiguration(t *testing.T) {
	t.Parallel()
	dir := made(t, "true")
	text := "plugins: {x: {module: x.wasm}}\nlisteners:\n - {endpoint: \"tcp://127.0.0.1:0\", plugin: x}\n"
	if err := os.WriteFile(filepath.Join(dir, projectConfig), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := develop(t, dir)
	says(t, d.serving(), "x", "x")
	d.save(projectConfig, text+" - {endpoint: \"unix://"+filepath.Join(dir, "s")+"\", plugin: x}\n")
	d.await("added listener unix://")
	d.interrupt()
}

func TestDevBadInput(t *testing.T) {
	file := write(t, "file", "")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"dev"}, exitUsage, "found no DIR"},
		{[]string{"dev", filepath.Join(filepath.Dir(file), "none")}, exitFailed, "no such file or directory"},
		{[]string{"dev", file}, exitFailed, "found a file, wanted a folder"},
		{[]string{"dev", "--build", " ", filepath.Dir(file)}, exitUsage, "found no command in --build"},
		{[]string{"dev", "--build-timeout=-5s", filepath.Dir(file)}, exitUsage,
			"--build-timeout: found -5s, wanted a time above 0"},
		{[]string{"dev", "--listen=7009", filepath.Dir(file)}, exitUsage,
			"--listen: endpoint \"7009\": found no scheme"},
	} {
		got := command(t, c.args...)
		if got.code != c.code || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%q: found %+v", c.args, got)
		}
	}
}

// What is saved while a build's result is being served counts, whatever it is. Here
// a configuration is waited for that is a pipe.
func TestDevSavedWhileServing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, projectConfig)
	for _, err := range []error{
		syscall.Mkfifo(pipe, 0o600),
		os.WriteFile(filepath.Join(dir, "data"), []byte("1"), 0o600),
		os.WriteFile(filepath.Join(dir, "Makefile"), []byte("all:\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d := develop(t, dir, "--listen=tcp://127.0.0.1:0")
	d.await("built in") // and now it reads the pipe
	d.save("data", "2")
	d.await("changed: data")
	d.await("building") // what is read is given up, though nobody wrote
}

// What a build and an editor make are no changes, and what people write is.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		for _, err := range []error{os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put("a.c", "1")
	put("data", "1")
	tr, err := newTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	look := func(building bool, want ...string) {
		t.Helper()
		found, err := tr.look(building)
		if err != nil || strings.Join(found, " ") != strings.Join(want, " ") {
			t.Errorf("found %q, %v, wanted %q", found, err, want)
		}
	}
	look(false)
	for _, name := range []string{"x.wasm", "a.o", "a.c~", ".a.c.swp", "#a.c#", "node_modules/p/i.js", "target/x.rs",
		".git/config", "zig-out/z"} {
		put(name, "1")
	}
	look(false)
	put("a.c", "22")
	put("sub/b.rs", "1")
	put("data", "22")
	look(true, "a.c", "sub/b.rs") // data may be the build's
	look(false, "data")
	put("data", "333")
	if err := tr.adopt(); err != nil {
		t.Fatal(err)
	}
	look(false)
	if err := os.Remove(filepath.Join(dir, "a.c")); err != nil {
		t.Fatal(err)
	}
	look(true, "a.c")
	look(true)
	if err := os.Chtimes(filepath.Join(dir, "data"), time.Time{}, time.Unix(1e9, 0)); err != nil { // touched
		t.Fatal(err)
	}
	look(false)
}
