// Package sdk_test holds the SDKs of all languages against the ABI and against
// each other: the same guests, built by each language's own toolchain, run on a
// real host.
package sdk_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// The guests that a language can have. Everything calls all that its SDK has, and is
// only looked at.
const (
	bareEcho     = "bare_echo" // on the bare ABI, without the SDK
	echo         = "echo"
	lineReceiver = "linereceiver"
	counter      = "counter"
	everything   = "everything"
	starttls     = "starttls" // for its test alone
	seed         = "seed"     // so too
	datagrams    = "datagrams"
	ports        = "ports"  // so too
	layers       = "layers" // so too
)

// A language is an SDK and how its guests are built.
type language struct {
	name   string
	guests []string       // sources
	most   map[string]int // bytes of a guest's .wasm
	// version names the toolchain; an error says what is missing, and how to
	// install it.
	version func() (string, error)
	// build makes out from a guest's source, in the folder of the SDK.
	build func(guest, out string) *exec.Cmd
	// native gives the commands of the SDK's own tests; dir is for what they make.
	native func(dir string) []*exec.Cmd
	dir    string // of the SDK, from this folder
	wasi   bool   // its runtime imports WASI
}

func languages() []language {
	usual := []string{bareEcho, echo, lineReceiver, counter, datagrams, everything}
	return []language{
		{
			name: "AssemblyScript", dir: "../assemblyscript", guests: usual,
			most: map[string]int{bareEcho: 2 << 10, echo: 8 << 10},
			version: func() (string, error) {
				version, err := output(installASC, asc(), "--version")
				return "asc " + strings.TrimPrefix(version, "Version "), err
			},
			build: buildAssemblyScript,
		},
		{
			name: "C", dir: "../c", guests: usual, most: map[string]int{bareEcho: 2 << 10, echo: 8 << 10},
			version: versionC,
			build:   buildC, native: nativeC,
		},
		{
			name: "C++", dir: "../c", guests: []string{echo, lineReceiver, counter, datagrams, everything},
			most:    map[string]int{echo: 8 << 10},
			version: versionC, build: buildCPP, native: nativeCPP,
		},
		{
			name: "Go", dir: "../go", guests: guestsOfGo(), wasi: true,
			version: func() (string, error) { return runtime.Version(), nil },
			build:   buildGo,
		},
		{
			name: "Rust", dir: "../rust", guests: usual, most: map[string]int{bareEcho: 2 << 10, echo: 24 << 10},
			version: versionRust, build: buildRust, native: nativeRust,
		},
		{
			name: "WAT", dir: "../wat", guests: []string{bareEcho}, most: map[string]int{bareEcho: 2 << 10},
			version: func() (string, error) {
				version, err := output("apt-get install wabt", "wat2wasm", "--version")
				return "wabt " + version, err
			},
			build: func(_, out string) *exec.Cmd { return exec.Command("wat2wasm", "echo.wat", "-o", out) },
		},
		{
			name: "Zig", dir: "../zig", guests: usual, most: map[string]int{bareEcho: 2 << 10, echo: 8 << 10},
			version: func() (string, error) {
				version, err := output("pip install ziglang", "python3", "-m", "ziglang", "version")
				return "zig " + version, err
			},
			build: buildZig, native: nativeZig,
		},
	}
}

// with lists the languages that have a guest.
func with(guest string) []language {
	return slices.DeleteFunc(languages(), func(l language) bool { return !slices.Contains(l.guests, guest) })
}

const installASC = "npm install -g assemblyscript@0.28.20, or set ASC to an asc"

// asc is AssemblyScript's compiler.
func asc() string {
	if program := os.Getenv("ASC"); program != "" {
		return program
	}
	return "asc"
}

func buildAssemblyScript(guest, out string) *exec.Cmd {
	args := []string{"guests/" + guest + ".ts", "-o", out, "-O3", "--shrinkLevel", "1", "--noAssert", "--use", "abort="}
	if guest != framers && guest != starttls { // which hold what the default collector is given
		args = append(args, "--runtime", "minimal")
	}
	if guest != bareEcho {
		args = append(args, "--use", "seed=wirehost/seed", "--use", "Date=wirehost/ServerDate")
	}
	return exec.Command(asc(), args...)
}

func versionC() (string, error) {
	if err := found("wasm-ld-19", "apt-get install lld-19"); err != nil {
		return "", err
	}
	return output("apt-get install clang-19", "clang-19", "--version")
}

func buildC(guest, out string) *exec.Cmd {
	args := []string{"--target=wasm32", "-Os", "-nostdlib", "-mbulk-memory", "-Wall", "-Wextra", "-Werror",
		"-Wl,--no-entry", "-Wl,--stack-first", "-o", out, "guests/" + guest + ".c"}
	if guest == bareEcho {
		return exec.Command("clang-19", append(args, "-Wno-unused-parameter", "-Wl,--strip-all")...)
	}
	return exec.Command("clang-19", append(args, "wirehost.c")...)
}

func nativeC(dir string) []*exec.Cmd {
	test := filepath.Join(dir, "selftest")
	return []*exec.Cmd{
		exec.Command("clang-19", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-o", test, "selftest.c", "wirehost.c"),
		exec.Command(test),
	}
}

func buildCPP(guest, out string) *exec.Cmd {
	return exec.Command("clang-19", "--target=wasm32", "-Os", "-nostdlib", "-mbulk-memory", "-fno-exceptions",
		"-fno-rtti", "-fno-threadsafe-statics", "-Wall", "-Wextra", "-Werror",
		"-Wl,--no-entry", "-Wl,--stack-first", "-Wl,--strip-all", "-o", out, "guests/"+guest+".cpp", "wirehost.c")
}

func nativeCPP(dir string) []*exec.Cmd {
	test := filepath.Join(dir, "selftest")
	return []*exec.Cmd{
		exec.Command("clang-19", "-g", "-O1", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Werror", "-o", test,
			"selftest.cpp", "wirehost.c"),
		exec.Command(test),
	}
}

// guestsOfGo are those that no other package runs: package plugins and package
// conformance have echo and linereceiver, and a guest in Go takes the host long to
// compile under the race detector. The table has them all.
func guestsOfGo() []string {
	if *table != "" {
		return []string{echo, lineReceiver, counter, datagrams, everything}
	}
	return []string{counter, datagrams, everything}
}

func buildGo(guest, out string) *exec.Cmd {
	source := map[string]string{
		echo: "../../plugins/echo", lineReceiver: "../../plugins/linereceiver",
		counter: "../guests/testdata/counter", starttls: "../guests/testdata/starttls", seed: "../guests/testdata/seed",
		datagrams: "../guests/testdata/datagrams", ports: "../guests/testdata/ports",
		layers:     "../guests/testdata/layers",
		everything: "./testdata/everything",
	}[guest]
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", out, source)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOFLAGS=", "GOEXPERIMENT=")
	return cmd
}

const installRust = "rustup target add wasm32-unknown-unknown, or apt-get install rustc libstd-rust-dev-wasm32"

func versionRust() (string, error) {
	dir, err := output(installRust, "rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("rustc has no target wasm32-unknown-unknown (%w): %s", err, installRust)
	}
	return output(installRust, "rustc", "--version")
}

func buildRust(guest, out string) *exec.Cmd {
	return exec.Command("rustc", "--edition", "2021", "-D", "warnings", "--crate-type", "cdylib",
		"--target", "wasm32-unknown-unknown",
		"-C", "opt-level=s", "-C", "lto", "-C", "panic=abort", "-C", "strip=symbols", "-o", out, "guests/"+guest+".rs")
}

func nativeRust(dir string) []*exec.Cmd {
	test := filepath.Join(dir, "selftest")
	return []*exec.Cmd{
		exec.Command("rustc", "--edition", "2021", "-D", "warnings", "--test", "-o", test, "selftest.rs"),
		exec.Command(test),
	}
}

func zig(args ...string) *exec.Cmd {
	cmd := exec.Command("python3", append([]string{"-m", "ziglang"}, args...)...)
	cmd.Env = append(os.Environ(), "ZIG_LOCAL_CACHE_DIR="+filepath.Join(built.dir, "zig"))
	return cmd
}

func buildZig(guest, out string) *exec.Cmd {
	return zig("build-exe", "-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fno-entry", "-rdynamic",
		"-fstrip", "-femit-bin="+out, "--dep", "wirehost", "-Mroot=guests/"+guest+".zig", "-Mwirehost=wirehost.zig")
}

// oldestRust is the version that the SDK is held to, Debian 12's.
const oldestRust = "1.63"

// oldestRustc gives the command of a rustc of the oldest version, and the error says how
// to install one.
func oldestRustc() ([]string, error) {
	for _, command := range [][]string{{"rustc"}, {"rustup", "run", oldestRust, "rustc"}} {
		version, err := output("", command[0], append(command[1:], "--version")...)
		if err == nil && strings.HasPrefix(version, "rustc "+oldestRust+".") {
			return command, nil
		}
	}
	return nil, fmt.Errorf("there is no rustc %s: "+
		"rustup toolchain install %[1]s --profile minimal --target wasm32-unknown-unknown", oldestRust)
}

func nativeZig(string) []*exec.Cmd { return []*exec.Cmd{zig("test", "selftest.zig")} }

// found tells whether a program is there.
func found(program, install string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: %s", program, install)
	}
	return nil
}

// output runs a program and takes the first line that it prints.
func output(install, program string, args ...string) (string, error) {
	if err := found(program, install); err != nil {
		return "", err
	}
	text, err := exec.Command(program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w (%s)", program, strings.Join(args, " "), err, install)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line), nil
}

// built remembers what was built, and with what: tests share it.
var built struct {
	sync.Mutex
	dir        string
	all        map[string]bool // by path
	toolchains map[string]toolchain
}

// A toolchain is what there is to build a language with.
type toolchain struct {
	version string
	err     error
}

func toolchainOf(l language) toolchain {
	built.Lock()
	defer built.Unlock()
	found, ok := built.toolchains[l.name]
	if !ok {
		found.version, found.err = l.version()
		built.toolchains[l.name] = found
	}
	return found
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

var keep = flag.String("keep", "", "`folder` in which the guests are built and left, for bench/")

func run(m *testing.M) int {
	flag.Parse()
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "wirehost-guests"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
	}
	built.dir, built.all, built.toolchains = dir, map[string]bool{}, map[string]toolchain{}
	status := m.Run()
	if *table != "" {
		if err := writeTable(*table); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return status
}

// need skips a test whose language can't be built here, but in CI.
func need(t testing.TB, l language) {
	t.Helper()
	if err := toolchainOf(l).err; err != nil {
		tooltest.Missing(t, err)
	}
}

func (l language) path(guest string) string {
	return filepath.Join(built.dir, strings.ToLower(l.name)+"_"+guest+".wasm")
}

// build gives the path of a guest's .wasm.
func build(t testing.TB, l language, guest string) string {
	t.Helper()
	need(t, l)
	built.Lock()
	defer built.Unlock()
	out := l.path(guest)
	if built.all[out] {
		return out
	}
	readSources(t, l.dir)
	cmd := l.build(guest, out)
	cmd.Dir = l.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	built.all[out] = true
	return out
}

// readSources reads an SDK, so that go test takes no cached result when it has
// changed.
func readSources(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		_, err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// available lists the languages that have a guest and can be built here.
func available(t testing.TB, guest string) []language {
	var list []language
	for _, l := range with(guest) {
		if err := toolchainOf(l).err; err == nil || tooltest.Required() {
			list = append(list, l)
		} else {
			t.Logf("%s: %v", l.name, err)
		}
	}
	return list
}
