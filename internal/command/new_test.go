package command

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/internal/wasmbintest"
	"github.com/wirehost/wirehost/sdk"
)

// toolchain skips a test whose language can't be built here, but in CI.
func toolchain(t *testing.T, l language) {
	t.Helper()
	missing := l.missing(exec.LookPath, outputOf)
	// no test fetches it
	if _, err := exec.LookPath("asc"); err != nil && l.name == "assemblyscript" && os.Getenv("ASC") == "" {
		missing = append(missing, "asc. Install it: npm install -g assemblyscript, or set ASC")
	}
	if len(missing) > 0 {
		tooltest.Missing(t, missing)
	}
}

// project makes one in a new folder, and returns its path.
func project(t *testing.T, l, name string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(binary, "new", "--lang", l, name)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	for _, want := range []string{"Made " + name, "make -C " + name, "serve --config " + name + "/wirehost.yaml",
		"nc -N"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("found no %q in\n%s", want, out)
		}
	}
	return filepath.Join(dir, name)
}

// inProject runs a command in a project.
func inProject(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "WIREHOST="+binary, "WIREHOST_CACHE__DIR="+cacheDir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// What `new` makes builds, can be hosted, and passes its own tests.
func TestNewBuilds(t *testing.T) {
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			toolchain(t, l)
			dir := project(t, l.name, "hello")
			others := map[string]string{"go.work": "go 1.26.0\n", "Cargo.toml": "[workspace]\n"} // above the project
			for file, text := range others {
				if err := os.WriteFile(filepath.Join(filepath.Dir(dir), file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			inProject(t, dir, "make")
			m := wasmbintest.Read(t, filepath.Join(dir, "hello.wasm"))
			for _, f := range abi.Validate(m.Describe()) {
				t.Error(f)
			}
			made := map[string]string{"go": "Go go1.", "c": "clang", "cpp": "clang", "rust": "rustc", "zig": "Zig 0.",
				"assemblyscript": "AssemblyScript"}[l.name]
			if got := m.Toolchain(); made == "" || !strings.Contains(got, made) {
				t.Errorf("inspect: found the toolchain %q, wanted %q", got, made)
			}
			want := l.title + " " + sdk.Version
			if l.name == "cpp" { // whose SDK is C's, in C
				want = "C " + sdk.Version
			}
			if got := m.SDK(); got != want {
				t.Errorf("inspect: found the SDK %q, wanted %s", got, want)
			}
			inProject(t, dir, "make", "test")
			inProject(t, dir, binary, "test", "hello.wasm", "echo.transcript")
			inProject(t, dir, binary, "validate", "--config", projectConfig)
		})
	}
}

// A protocol that fails says so by name: `test` shows the function, and what a
// panic said.
func TestNewNamesTraps(t *testing.T) {
	for _, c := range []struct {
		lang, before, after string
		want                []string // on stderr
	}{
		{"go", "_, _ = p.Transport", "panic(\"oh no\"); _, _ = p.Transport",
			[]string{`text="panic: oh no"`, "protocol.go:15 ", "main.__echo_.DataReceived"}},
		{"c", "wh_write(", "__builtin_trap(); wh_write(", []string{"wasm.received(i32,i32,i32)"}},
		{"cpp", "transport.write(", "__builtin_trap(); transport.write(", []string{"Echo::dataReceived("}},
		{"rust", "let _ = t.write", "panic!(\"oh no\"); #[allow(unreachable_code)] let _ = t.write",
			[]string{"panicked at src/lib.rs:15: oh no", "Echo", "data_received"}},
		{"zig", "try t.write", "if (data.len > 0) @panic(\"oh no\"); try t.write",
			[]string{`text="oh no"`, "protocol.Factory).dataReceived"}},
		{"assemblyscript", "this.transport.write",
			"if (data.length > 0) throw new Error(\"oh no\"); this.transport.write",
			[]string{"oh no (protocol.ts:13:", "exports/dataReceived"}},
	} {
		t.Run(c.lang, func(t *testing.T) {
			t.Parallel()
			l, err := languageOf(c.lang)
			if err != nil {
				t.Fatal(err)
			}
			toolchain(t, *l)
			dir := project(t, c.lang, "hello")
			file := filepath.Join(dir, l.main)
			text, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, []byte(strings.Replace(string(text), c.before, c.after, 1)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			inProject(t, dir, "make")
			got := command(t, "test", filepath.Join(dir, "hello.wasm"), filepath.Join(dir, "echo.transcript"))
			if want := "echo.transcript:4: whole: the connection ended: a reset"; got.code != 1 ||
				!strings.Contains(got.stdout, want) {
				t.Errorf("found %d\n%s", got.code, got.stdout)
			}
			for _, want := range append(c.want, "guest trapped", "\n  | ") {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("found no %q in\n%s", want, got.stderr)
				}
			}
		})
	}
}

// A project's own tests say so where the factory refuses what they begin with.
func TestNewTellsRefusals(t *testing.T) {
	for _, c := range []struct{ lang, before, after, want string }{
		{"go", "return new(echo)", "return nil", "the factory refused the connection"},
		{"c", "return &echo;", "return (void)echo, NULL;",
			"wht_send: found no connection 0, as where the factory has refused it"},
		{"cpp", "return new Echo;", "return nullptr;",
			"wht_send: found no connection 0, as where the factory has refused it"},
		{"rust", "Some(Box::new(Echo))", "let _ = Echo; None", "the factory takes the connection"},
		{"zig", "pub const log_prefix", "pub fn buildProtocol(_: *Factory, _: wirehost.Transport) ?Echo {\n" +
			"        return null;\n    }\n    pub const log_prefix", "TheFactoryRefusedTheConnection"},
	} {
		t.Run(c.lang, func(t *testing.T) {
			t.Parallel()
			l, err := languageOf(c.lang)
			if err != nil {
				t.Fatal(err)
			}
			toolchain(t, *l)
			dir := project(t, c.lang, "hello")
			text, err := os.ReadFile(filepath.Join(dir, l.main))
			if err != nil {
				t.Fatal(err)
			}
			inside(t, dir, l.main, strings.Replace(string(text), c.before, c.after, 1))
			cmd := exec.Command("make", "test")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "WIREHOST="+binary,
				"WIREHOST_CACHE__DIR="+cacheDir)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("found %v, wanted %q:\n%s", err, c.want, out)
			}
		})
	}
}

// inside has a project's file say what it is given.
func inside(t *testing.T, dir, file, text string) {
	t.Helper()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What becomes of a project builds as well: a crate in Cargo.toml, files in folders of
// folders, a second source.
func TestNewGrows(t *testing.T) {
	for _, c := range []struct {
		lang  string
		files map[string]string // what is added
		main  [2]string         // what is replaced in the protocol, by what
		then  [2]string         // a file that then is another, which answers by b
	}{
		{"go", map[string]string{"in/deep/deep.go": "package deep\n\nconst Answer = \"a\"\n"},
			[2]string{"import wirehost", "import \"example.com/hello/in/deep\"\nimport wirehost"},
			[2]string{"in/deep/deep.go", "package deep\n\nconst Answer = \"b\"\n"}},
		{"rust", map[string]string{
			"deep/Cargo.toml": "[package]\nname = \"deep\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
			"deep/src/lib.rs": "pub const ANSWER: &[u8] = b\"a\";\n"},
			[2]string{"mod wirehost;", "mod wirehost;"},
			[2]string{"deep/src/lib.rs", "pub const ANSWER: &[u8] = b\"b\";\n"}},
		{"c", map[string]string{"deep.c": "const char *answer(void) { return \"a\"; }\n"},
			[2]string{"static void received", "const char *answer(void);\nstatic void received"},
			[2]string{"deep.c", "const char *answer(void) { return \"b\"; }\n"}},
		{"cpp", map[string]string{"deep.cpp": "const char *answer() { return \"a\"; }\n"},
			[2]string{"namespace {", "const char *answer();\nnamespace {"},
			[2]string{"deep.cpp", "const char *answer() { return \"b\"; }\n"}},
		{"zig", map[string]string{"in/deep/deep.zig": "pub const answer = \"a\";\n"},
			[2]string{"const wirehost", "const deep = @import(\"in/deep/deep.zig\");\nconst wirehost"},
			[2]string{"in/deep/deep.zig", "pub const answer = \"b\";\n"}},
		{"assemblyscript", map[string]string{"in/deep/deep.ts": "export const answer = \"a\";\n"},
			[2]string{"import {", "import { answer } from \"./in/deep/deep\";\nimport {"},
			[2]string{"in/deep/deep.ts", "export const answer = \"b\";\n"}},
	} {
		t.Run(c.lang, func(t *testing.T) {
			t.Parallel()
			l, err := languageOf(c.lang)
			if err != nil {
				t.Fatal(err)
			}
			toolchain(t, *l)
			dir := project(t, c.lang, "hello")
			for file, text := range c.files {
				inside(t, dir, file, text)
			}
			grow(t, dir, l, c.main)
			inside(t, dir, "answer.transcript", "send \"x\"\nexpect \"a\"\n")
			inProject(t, dir, "make")
			inProject(t, dir, binary, "test", "hello.wasm", "answer.transcript")
			inside(t, dir, c.then[0], c.then[1])
			later := time.Now().Add(time.Minute) // make sees it, however quick the first build was
			if err := os.Chtimes(filepath.Join(dir, c.then[0]), later, later); err != nil {
				t.Fatal(err)
			}
			inside(t, dir, "answer.transcript", "send \"x\"\nexpect \"b\"\n")
			inProject(t, dir, "make")
			inProject(t, dir, binary, "test", "hello.wasm", "answer.transcript")
		})
	}
}

// grow has a project's protocol answer with what another file says.
func grow(t *testing.T, dir string, l *language, imports [2]string) {
	t.Helper()
	answers := map[string][2]string{
		"go":             {"p.Transport.Write(data)", "p.Transport.Write([]byte(deep.Answer))"},
		"rust":           {"t.write(data)", "t.write({ let _ = data; deep::ANSWER })"},
		"c":              {"wh_write(c, p, n)", "(void)p, (void)n, wh_write_text(c, answer())"},
		"cpp":            {"transport.write(data)", "(void)data, wh_write_text(transport.conn(), answer())"},
		"zig":            {"try t.write(data)", "_ = data;\n        try t.write(deep.answer)"},
		"assemblyscript": {"this.transport.write(data)", "this.transport.writeText(answer)"},
	}
	path := filepath.Join(dir, filepath.FromSlash(l.main))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inside(t, dir, l.main, strings.NewReplacer(imports[0], imports[1], answers[l.name][0], answers[l.name][1]).
		Replace(string(text)))
	if l.name != "rust" {
		return
	}
	cargo, err := os.ReadFile(filepath.Join(dir, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	inside(t, dir, "Cargo.toml", string(cargo)+"\n[dependencies]\ndeep = { path = \"deep\" }\n")
}

// placeholder is what new fills.
var placeholder = regexp.MustCompile(`@[A-Z]+@`)

// The files say what they are, no place to fill is left, and the README names
// only files that are there.
func TestNewFiles(t *testing.T) {
	for _, l := range languages() {
		files, err := l.project("hello")
		if err != nil {
			t.Fatal(err)
		}
		always := []string{"Makefile", "README.md", ".gitignore", "wirehost.yaml", "echo.transcript"}
		for _, name := range append(always, l.main) {
			if len(files[name]) == 0 {
				t.Errorf("%s: found no %s", l.name, name)
			}
		}
		for name, text := range files {
			if strings.HasSuffix(name, ".tmpl") || placeholder.Match(text) {
				t.Errorf("%s: %s has a place that is not filled", l.name, name)
			}
		}
		for _, row := range l.table {
			there := files[row[0]] != nil
			for name := range files {
				there = there || strings.HasSuffix(row[0], "/") && strings.HasPrefix(name, row[0])
			}
			if !there {
				t.Errorf("%s: the README names %s, which is not there", l.name, row[0])
			}
		}
	}
}

func TestNewBadInput(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("taken", 0o700); err != nil {
		t.Fatal(err)
	}
	const wanted = ", wanted a letter a to z, then letters a to z, digits and _, 64 at most; " +
		"folders may stand before it; see 'wirehost new --help'"
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"new --lang c taken", 1, "wirehost: taken: found it there already, wanted the name of a new folder"},
		{"new --lang cobol x", 2, `wirehost: found the language "cobol", wanted one of ` + languageNames() +
			"; see 'wirehost new --help'"},
		{"new x", 2, "wirehost: found no --lang, wanted one of " + languageNames() + "; see 'wirehost new --help'"},
		{"new --lang c", 2, "wirehost: found no PATH; see 'wirehost new --help'"},
		{"new --lang c a b", 2, `wirehost: found the argument "b", wanted none after PATH; see 'wirehost new --help'`},
		{"new --lang c 9p", 2, `wirehost: found the name "9p"` + wanted},
		{"new --lang c a-b", 2, `wirehost: found the name "a-b"` + wanted},
		{"new --lang c ../9p", 2, `wirehost: found the name "9p"` + wanted},
		{"new --lang c ..", 2, `wirehost: found the name ".."` + wanted},
		{"new --lang c nowhere/a", 1, "wirehost: mkdir nowhere/a: no such file or directory"},
		{"new --lang c Éa", 2, `wirehost: found the name "Éa"` + wanted},
		{"new --lang c " + strings.Repeat("a", 65), 2, `wirehost: found the name "` + strings.Repeat("a", 65) + `"` +
			wanted},
	} {
		got := command(t, strings.Fields(c.args)...)
		if got.code != c.code || got.stderr != c.want+"\n" || got.stdout != "" {
			t.Errorf("%s: found %d %q %q\nwanted %d %q", c.args, got.code, got.stdout, got.stderr, c.code, c.want)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("found %v, %v, wanted nothing but what was there", left, err)
	}
}

// A path is taken, with a name at its end, and stands in what there is to type next.
func TestNewTakesAPath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("my projects", 0o700); err != nil {
		t.Fatal(err)
	}
	got := command(t, "new", "--lang=c", "my projects/hello/")
	for _, want := range []string{"Made my projects/hello/, ", "make -C 'my projects/hello' ", "build hello.wasm",
		" serve --config 'my projects/hello/wirehost.yaml'", " dev 'my projects/hello'"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("found no %q in %+v", want, got)
		}
	}
	text, err := os.ReadFile("my projects/hello/wirehost.yaml")
	if err != nil || !strings.Contains(string(text), "plugin: \"hello\"") && !strings.Contains(string(text), "hello") {
		t.Errorf("found %q, %v", text, err)
	}
	if word := shellWord("it's"); word != `'it'\''s'` {
		t.Errorf("found %s", word)
	}
}

// A project that can't be written in whole is not written at all.
func TestNewLeavesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	err := writeProject("x", map[string][]byte{"a": nil, "a/b": nil, "c": nil}) // a can't be both
	if err == nil {
		t.Error("found no error")
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("found %v, %v", left, err)
	}
}

// What is missing is said first, each tool once, and the project is made.
func TestNewSaysWhatIsMissing(t *testing.T) {
	none := func(string) (string, error) { return "", exec.ErrNotFound }
	all := func(name string) (string, error) { return name, nil }
	fails := func(string, ...string) (string, error) { return "", errors.New("it fails") }
	for _, l := range languages() {
		if lines := l.missing(none, fails); len(lines) < 2 || !strings.HasPrefix(lines[0], "make. Install it: ") {
			t.Errorf("%s: found %q", l.name, lines)
		}
	}
	rust, err := languageOf("rust")
	if err != nil {
		t.Fatal(err)
	}
	// what rustc prints without the target
	without := func(string, ...string) (string, error) { return "/nowhere/at/all\n", nil }
	if lines := rust.missing(all, without); len(lines) != 1 ||
		!strings.HasPrefix(lines[0], "Rust's target wasm32-unknown-unknown. Install it: rustup target add") {
		t.Errorf("found %q", lines)
	}
	t.Chdir(t.TempDir())
	t.Setenv("PATH", "")
	got := command(t, "new", "--lang", "c", "x")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "Missing: make. Install it: apt-get install make") ||
		!strings.Contains(got.stdout, "\nMissing: clang with the target wasm32. ") ||
		!strings.Contains(got.stdout, "\nMade x/") {
		t.Errorf("found %+v", got)
	}
	if _, err := os.Stat("x/Makefile"); err != nil {
		t.Error(err)
	}
}
