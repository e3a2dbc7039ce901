package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// asCompiler has the test's own program be the compiler process.
const asCompiler = "compile-for-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asCompiler {
		if err := Run(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func self(t *testing.T) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, asCompiler}
}

// script is a compiler that is none.
func script(t *testing.T, text string) []string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no shell here")
	}
	file := filepath.Join(t.TempDir(), "compiler")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{file}
}

func compiler(t *testing.T, o Options) *Compiler {
	t.Helper()
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	o.Machine = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func of(b []byte) Module {
	return Module{Sum: sumOf(b), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(b))), nil
	}}
}

func echo(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withFunction is the echo with one more function, of that code.
func withFunction(t *testing.T, code string, locals ...wasmbin.LocalRun) []byte {
	t.Helper()
	m, err := wasmbin.Decode(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	m.Types = append(m.Types, wasmbin.FuncType{})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasmbin.Code{Locals: locals, Body: []byte(code + "\x0b")})
	return m.Encode()
}

// blocks is a function of n blocks, one behind the other, down which wazero's
// compiler recurses.
func blocks(t *testing.T, n int) []byte {
	return withFunction(t, strings.Repeat("\x41\x00\x04\x40\x00\x0b", n)+"\x20\x00\x1a",
		wasmbin.LocalRun{Count: 1, Type: wasmbin.I32})
}

var plain = Limits{Memory: 1 << 20}

// TestEntry: what a process of its own makes is found again, by another Compiler
// too, and is the same as what is made in this process.
func TestEntry(t *testing.T) {
	var sizes []int64
	for name, command := range map[string][]string{"apart": self(t), "here": nil} {
		t.Run(name, func(t *testing.T) {
			o := Options{Command: command, Dir: t.TempDir()}
			for range 2 {
				e, release, err := compiler(t, o).
					Entry(context.Background(), of(echo(t)), plain, Bounds{Time: time.Minute, Memory: 1 << 30})
				if err != nil {
					t.Fatal(err)
				}
				release()
				if len(e.Exports) < 5 || e.Cache == "" {
					t.Errorf("found exports %q, cache %q", e.Exports, e.Cache)
				}
				sizes = append(sizes, e.summed.Size())
			}
			if n, err := filepath.Glob(filepath.Join(o.Dir, "*")); err != nil || len(n) != 1 {
				t.Errorf("found %q in the cache, %v", n, err)
			}
		})
	}
	for _, size := range sizes {
		if size != sizes[0] {
			t.Errorf("machine code of %d bytes", sizes)
		}
	}
}

// TestStub: what the server decodes has none of the module's code.
func TestStub(t *testing.T) {
	secret := strings.Repeat("\x41\xd2\x85\xd8\xcc\x04\x1a", 1000) // i32.const 0x499602d2, drop
	e, release, err := compiler(t, Options{Dir: t.TempDir()}).Entry(context.Background(), of(withFunction(t, secret)),
		plain, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	m, err := wasmbin.Decode(e.Binary)
	if err != nil || len(m.Code) < 2 {
		t.Fatalf("%d bodies, %v", len(m.Code), err)
	}
	for _, c := range m.Code {
		if string(c.Body) != "\x00\x0b" || len(c.Locals) > 0 {
			t.Errorf("found a body % x with locals %v", c.Body, c.Locals)
		}
	}
	if len(e.Binary) > 4*len(echo(t)) {
		t.Errorf("found a stub of %d bytes", len(e.Binary))
	}
}

// TestJoined: the data segments of a stub are as few as may be, and give the same
// memory.
func TestJoined(t *testing.T) {
	at := func(address int64, init string) wasmbin.Data {
		return wasmbin.Data{Offset: wasmbin.Expr{Op: wasmbin.OpI32Const,
			Raw: wasmbin.AppendS64([]byte{byte(wasmbin.OpI32Const)}, address)}, Init: []byte(init)}
	}
	for name, c := range map[string]struct {
		data []wasmbin.Data
		want []string
	}{
		"next to one another": {[]wasmbin.Data{at(10, "ab"), at(12, "c")}, []string{"abc"}},
		"a gap":               {[]wasmbin.Data{at(10, "ab"), at(14, "c"), at(15, "")}, []string{"ab\x00\x00c"}},
		"a large gap":         {[]wasmbin.Data{at(10, "ab"), at(13+joinGap, "c")}, []string{"ab", "c"}},
		"overlapping":         {[]wasmbin.Data{at(10, "ab"), at(11, "c")}, []string{"ab", "c"}},
		"backwards":           {[]wasmbin.Data{at(10, "ab"), at(8, "c"), at(9, "d")}, []string{"ab", "cd"}},
		"high addresses":      {[]wasmbin.Data{at(-3, "ab"), at(-1, "c"), at(0, "d")}, []string{"abc", "d"}},
		"a passive one": {[]wasmbin.Data{at(10, "ab"), wasmbin.PassiveData([]byte("c")), at(12, "d")},
			[]string{"ab", "c", "d"}},
		"a global's address": {[]wasmbin.Data{at(10, "ab"),
			{Offset: wasmbin.Expr{Op: wasmbin.OpGlobalGet}, Init: []byte("c")}}, []string{"ab", "c"}},
	} {
		var got []string
		for _, d := range joined(c.data) {
			got = append(got, string(d.Init))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%s: found %q, wanted %q", name, got, c.want)
		}
	}
}

// TestImageOf: data is not in the stub, but in the entry; data that the code names,
// or that does not fit, is left to the runtime.
func TestImageOf(t *testing.T) {
	if !HasImages {
		t.Skip("no images on this system")
	}
	const much = 256 << 10
	long := strings.Repeat("x", much)
	at := func(address int64, init string) wasmbin.Data {
		return wasmbin.Data{Offset: wasmbin.Expr{Op: wasmbin.OpI32Const,
			Raw: wasmbin.AppendS64([]byte{byte(wasmbin.OpI32Const)}, address)}, Init: []byte(init)}
	}
	one := uint32(1)
	for name, c := range map[string]struct {
		data  []wasmbin.Data
		count *uint32
		pages uint32
		want  string
	}{
		"much":           {data: []wasmbin.Data{at(0, long)}, pages: 16, want: "[0+262144]"},
		"two":            {data: []wasmbin.Data{at(3, "a"), at(100_000, long)}, pages: 16, want: "[3+1 100000+262144]"},
		"to the end":     {data: []wasmbin.Data{at(0, long)}, pages: much / wasmPage, want: "[0+262144]"},
		"past the end":   {data: []wasmbin.Data{at(1, long)}, pages: much / wasmPage, want: "[]"},
		"little":         {data: []wasmbin.Data{at(7, "a")}, pages: 16, want: "[7+1]"},
		"the code names": {data: []wasmbin.Data{at(0, long)}, count: &one, pages: 16, want: "[]"},
	} {
		m, err := wasmbin.Decode(echo(t))
		if err != nil {
			t.Fatal(err)
		}
		m.Data, m.DataCount, m.Memories[0] = c.data, c.count, wasmbin.Limits{Min: c.pages}
		e, release, err := compiler(t, Options{Dir: t.TempDir()}).Entry(context.Background(), of(m.Encode()), Limits{},
			Bounds{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		release()
		got := []string{}
		for _, s := range e.Image {
			got = append(got, fmt.Sprintf("%d+%d", s.Address, len(s.Bytes)))
		}
		stub, err := wasmbin.Decode(e.Binary)
		if err != nil || fmt.Sprint(got) != c.want || (len(stub.Data) == 0) != (len(got) > 0) {
			t.Errorf("%s: found %s and %d segments in the stub, wanted %s (%v)", name, got, len(stub.Data), c.want, err)
		}
	}
}

// TestHostileModules: what ends a compiler is the reason why its module is
// refused, and is remembered.
func TestHostileModules(t *testing.T) {
	for name, c := range map[string]struct {
		module []byte
		memory int64
		want   string
	}{
		"memory": {withFunction(t, strings.Repeat("\x41\x00", 1<<20)+"\x00"), 64 << 20,
			"limits.compile_memory, 64MiB; raise it"},
		"no module": {[]byte("#!/bin/sh"), 1 << 30, "found a script, wanted a WebAssembly module"},
	} {
		t.Run(name, func(t *testing.T) {
			if raceDetector && name == "memory" {
				t.Skip("the race detector's own memory is over the limit, and it ends the process in its own words")
			}
			dir := t.TempDir()
			comp := compiler(t, Options{Command: self(t), Dir: dir})
			for range 2 {
				_, _, err := comp.Entry(context.Background(), of(c.module), plain,
					Bounds{Time: time.Minute, Memory: c.memory})
				var r *Refusal
				if limited() {
					t.Skip("this process has limits of memory of its own")
				}
				if !errors.As(err, &r) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("found %v, wanted %q", err, c.want)
				}
				comp.o.Command = []string{"/none"} // it is not called again
			}
			expectEmpty(t, dir)
		})
	}
}

// expectEmpty waits until nothing is left in dir: a folder that was being written
// is removed in the background.
func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	var names []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if names = left(dir); len(names) == 0 {
			return
		}
	}
	t.Errorf("found %q left", names)
}

func left(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*")) // a pattern without a fault
	hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
	return append(names, hidden...)
}

// TestCompilerStartsServer: a program whose main does not call Run starts a server
// in place of a compiler. That must not start another compiler, without end.
func TestCompilerStartsServer(t *testing.T) {
	t.Setenv(asked, "1")
	for _, command := range [][]string{nil, self(t)} {
		_, err := New(Options{Command: command, Logger: hclog.NewNullLogger()})
		if err == nil || !strings.Contains(err.Error(), "wanted a call of host.CompileIfAsked") {
			t.Errorf("found %v", err)
		}
	}
}

// TestBadCompilers: a program that is no compiler, or another's, is told as such,
// and nothing is remembered against the module.
func TestBadCompilers(t *testing.T) {
	answers := func(version string) string {
		return `echo '{"version":` + version + `}'`
	}
	for name, c := range map[string]struct {
		text, want string
		remembered bool
	}{
		"says nothing": {"exit 0",
			`gave no answer: found exit status 0, "", wanted a program that calls host.CompileIfAsked`, false},
		"says it elsewhere": {"echo usage; exit 2", `exit status 2, "usage", wanted`, false},
		"knows its place":   {`echo "asked: $COMPILING_FOR_WIREHOST"`, `"asked: 1"`, false},
		"fails": {"echo broken >&2; exit 3",
			`exit status 3, "broken", wanted a program that calls host.CompileIfAsked`, false},
		"another version": {answers(`{"format":9,"wirehost":"v7","wazero":"v8"}`),
			"found wirehost v7 with wazero v8 (format 9), wanted this server's", false},
		"ended by a signal": {"kill -SEGV $$", "the compiler was ended by a signal: segmentation fault", true},
		"killed by another": {"kill -KILL $$", "the compiler was ended by a signal: killed", false},
		"told something":    {"kill -USR1 $$", "the compiler was ended by a signal: user defined signal 1", false},
		"terminated":        {"kill -TERM $$", "the compiler was ended by a signal: terminated", false},
		"panics": {"echo 'panic: at the disco' >&2; exit 2", "the compiler failed: panic: at the disco",
			true},
		"out of stack": {"echo 'runtime: goroutine stack exceeds\n\nfatal error: stack overflow' >&2; exit 2",
			"the compiler ran out of stack", true},
		"out of threads": {"echo 'runtime/cgo: pthread_create failed: Resource temporarily unavailable' >&2; exit 2",
			"the compiler ran out of memory", true},
		"slow": {"exec sleep 1000", "compiling took more than limits.compile_time, 50ms", true},
	} {
		t.Run(name, func(t *testing.T) {
			comp := compiler(t, Options{Command: script(t, c.text), Dir: t.TempDir()})
			bounds := Bounds{Time: time.Minute}
			if name == "slow" {
				bounds.Time = 50 * time.Millisecond
			}
			_, _, err := comp.Entry(context.Background(), of(echo(t)), plain, bounds)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("found %v, wanted %q", err, c.want)
			}
			comp.o.Command = self(t)
			_, release, err := comp.Entry(context.Background(), of(echo(t)), plain, bounds)
			if err == nil {
				release()
			}
			if c.remembered != (err != nil) {
				t.Errorf("then, with a good one: %v", err)
			}
			bounds.Time = time.Hour // other limits: it is tried again
			if _, release, err = comp.Entry(context.Background(), of(echo(t)), plain, bounds); err != nil {
				t.Fatal(err)
			}
			release()
		})
	}
}

func TestNoCompiler(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not-executable")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{filepath.Join(t.TempDir(), "missing"), file} {
		_, err := New(Options{Command: []string{command}, Logger: hclog.NewNullLogger()})
		if err == nil || !strings.Contains(err.Error(), "the compiler: ") || !strings.Contains(err.Error(), command) {
			t.Errorf("%s: %v", command, err)
		}
	}
	comp := compiler(t, Options{Command: script(t, "exit 0")})
	if err := os.Remove(comp.o.Command[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := comp.Entry(context.Background(), of(echo(t)), plain, Bounds{}); err == nil ||
		!strings.Contains(err.Error(), "the compiler did not start: ") {
		t.Errorf("gone since: %v", err)
	}
}

// TestGivenUp: a change that is given up ends its compiler.
func TestGivenUp(t *testing.T) {
	began := filepath.Join(t.TempDir(), "began")
	dir := t.TempDir()
	comp := compiler(t,
		Options{Command: script(t, "echo $$ >"+began+".new; mv "+began+".new "+began+"; exec sleep 1000"), Dir: dir})
	over := errors.New("the change is over")
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() {
		_, _, err := comp.Entry(ctx, of(echo(t)), plain, Bounds{Time: time.Hour})
		done <- err
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(began); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the compiler has not begun")
		}
	}
	cancel(over)
	if err := <-done; !errors.Is(err, over) { // and the process has been waited for
		t.Errorf("found %v", err)
	}
	if names := left(dir); len(names) > 0 { // at once: the server may end now
		t.Errorf("found %q left", names)
	}
	comp.o.Command = self(t)
	_, release, err := comp.Entry(context.Background(), of(echo(t)), plain, Bounds{Time: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// TestTellWait: a compilation that takes long is told, again and again.
func TestTellWait(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		silence - 1: "[]", silence + 1: "[2s]", silence + 2*tellEvery + 1: "[2s 12s 22s]",
	} {
		synctest.Test(t, func(t *testing.T) {
			told := []time.Duration{}
			stop := tellWait(func(took time.Duration) { told = append(told, took) })
			time.Sleep(wait)
			stop()
			synctest.Wait()
			if got := fmt.Sprint(told); got != want {
				t.Errorf("%v: found %s, wanted %s", wait, got, want)
			}
		})
	}
}

// TestChanged: the bytes that were asked for are compiled, or none.
func TestChanged(t *testing.T) {
	m := of(echo(t))
	m.Open = of(blocks(t, 1)).Open
	for name, command := range map[string][]string{"apart": self(t), "here": nil} {
		_, _, err := compiler(t, Options{Command: command, Dir: t.TempDir()}).
			Entry(context.Background(), m, plain, Bounds{})
		if !errors.Is(err, errChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForeignEntries: an entry under another's name, or whose files are pipes, is
// made anew; machine code that was replaced since it was added up is not taken.
func TestForeignEntries(t *testing.T) {
	dir := t.TempDir()
	get := func(b []byte) *Entry {
		t.Helper()
		e, release, err := compiler(t, Options{Command: self(t), Dir: dir}).
			Entry(context.Background(), of(b), plain, Bounds{})
		if err != nil {
			t.Fatal(err)
		}
		release()
		return e
	}
	at := func(e *Entry) string { return filepath.Join(dir, e.Key) }
	a, b := get(echo(t)), get(withFunction(t, ""))
	if err := errors.Join(os.RemoveAll(at(a)), os.Rename(at(b), at(a))); err != nil {
		t.Fatal(err)
	}
	if again := get(echo(t)); string(again.Binary) != string(a.Binary) {
		t.Error("found another module under the entry's name")
	}
	for _, name := range []string{filepath.Join(at(a), moduleFile), a.code} {
		toPipe(t, name)
		if again := get(echo(t)); string(again.Binary) != string(a.Binary) || !again.Loaded() {
			t.Errorf("%s was a pipe: found another entry", name)
		}
	}
	e := get(echo(t))
	if err := errors.Join(os.Rename(e.code, e.code+".old"),
		os.WriteFile(e.code, make([]byte, e.summed.Size()), 0o600)); err != nil {
		t.Fatal(err)
	}
	if e.Loaded() {
		t.Error("machine code that was replaced was taken")
	}
}

// TestPrivate: without a cache, an entry is there until it is discarded.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	comp := compiler(t, Options{Command: self(t)})
	e, release, err := comp.Entry(context.Background(), of(echo(t)), plain, Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !e.Loaded() {
		t.Error("found no machine code")
	}
	if err := e.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := comp.Entry(context.Background(), of([]byte("no module")), plain, Bounds{}); err == nil {
		t.Error("a module that is none was taken")
	}
	if names := left(dir); len(names) > 0 { // at once: the server may end now
		t.Errorf("found %q left", names)
	}
}

// TestTrim: what was used least recently leaves, what is in use and what is not
// ours stays.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-48 * time.Hour)
	put := func(name string, size int64, used time.Time) {
		t.Helper()
		file := filepath.Join(dir, name, "module")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{file, filepath.Dir(file)} {
			if err := os.Chtimes(f, used, used); err != nil {
				t.Fatal(err)
			}
		}
	}
	name := func(c string) string { return strings.Repeat(c, 64) }
	put(name("a"), 1<<30, old)                   // held
	put(name("b"), 600, old.Add(time.Hour))      // goes
	put(name("c"), 500, old.Add(2*time.Hour))    // stays
	put(name("d"), 300, time.Now())              // stays
	put(newPrefix+"1", 10, old)                  // abandoned
	put(newPrefix+"2", 10, time.Now())           // being made
	put("wazero-v1.0.0-amd64-linux", 5, old)     // of an older wirehost
	put("mine", 1<<20, old)                      // not ours
	put(strings.Repeat("x", 64), 1<<20, old)     // not ours
	put(strings.Repeat("A", 64)+"z", 1<<20, old) // not ours
	comp := compiler(t, Options{Dir: dir, Size: 1<<30 + 900})
	defer comp.hold(name("a"))()
	comp.Trim()
	for _, c := range []struct {
		name  string
		stays bool
	}{
		{name("a"), true}, {name("b"), false}, {name("c"), true}, {name("d"), true}, {newPrefix + "1", false},
		{newPrefix + "2", true}, {"wazero-v1.0.0-amd64-linux", false}, {"mine", true}, {strings.Repeat("x", 64), true},
	} {
		if _, err := os.Stat(filepath.Join(dir, c.name)); (err == nil) != c.stays {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
