package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// language is one that a project can be written in.
type language struct {
	name   string // as in --lang, and of its folders in sdk and templates
	title  string
	main   string // the file to go on in
	test   string // what `make test` does
	folder string // in a project, of the SDK; "" = the project's own
	needs  []need
	table  [][2]string // the project's files for the README: name, what for
}

// need is a tool that the build calls: the first of programs that is there.
type need struct {
	what     string
	programs []string // each with the first of its arguments
	// args make the program print a text that fits, where it is the right one;
	// without args every one is.
	args    []string
	fits    func(text string) bool
	install string
}

// languages are those that there is an SDK for.
func languages() []language {
	native := "tests the protocol natively, and the .wasm against each .transcript"
	return []language{
		{
			name: "go", title: "Go", main: "protocol.go", test: native, folder: "wirehost",
			needs: []need{{what: "go, 1.26 or later", programs: []string{"go"},
				install: "https://go.dev/dl/, or apt-get install golang"}},
			table: [][2]string{{"protocol.go", "the protocol"}, {"protocol_test.go", "its tests"},
				{"wirehost/", "the SDK"}},
		},
		{
			name: "c", title: "C", main: "protocol.c", test: native, needs: needsClang(),
			table: [][2]string{{"protocol.c", "the protocol"}, {"protocol_test.c", "its tests"},
				{"wirehost.h", "the SDK: what there is to call"}, {"wirehost.c", "the SDK"},
				{"wirehost_test.h", "the SDK: for tests"}},
		},
		{
			name: "cpp", title: "C++", main: "protocol.cpp", test: native, needs: needsClang(),
			table: [][2]string{{"protocol.cpp", "the protocol"}, {"protocol_test.cpp", "its tests"},
				{"wirehost.hpp", "the SDK: what there is to call, with what is in"},
				{"wirehost.h", "the SDK for C"}, {"wirehost.c", "the SDK"}, {"wirehost_test.h", "the SDK: for tests"}},
		},
		{
			name: "rust", title: "Rust", main: "src/lib.rs", test: native,
			folder: "src",
			needs: []need{
				{what: "rustc", programs: []string{"rustc"}, install: "https://rustup.rs, or apt-get install rustc"},
				{what: "Rust's target wasm32-unknown-unknown", programs: []string{"rustc"},
					args: []string{"--target", "wasm32-unknown-unknown", "--print", "target-libdir"}, fits: isFile,
					install: "rustup target add wasm32-unknown-unknown, or apt-get install libstd-rust-dev-wasm32"},
			},
			table: [][2]string{{"src/lib.rs", "the protocol, and its tests"}, {"src/wirehost.rs", "the SDK"},
				{"Cargo.toml", "for editors, and for crates of others"}},
		},
		{
			name: "zig", title: "Zig", main: "protocol.zig", test: native,
			needs: []need{{what: "zig", programs: []string{"zig", "python3 -m ziglang"}, args: []string{"version"},
				fits:    func(text string) bool { return text != "" },
				install: "pip install ziglang, or https://ziglang.org/download/"}},
			table: [][2]string{{"protocol.zig", "the protocol, and its tests"}, {"wirehost.zig", "the SDK"}},
		},
		{
			name: "assemblyscript", title: "AssemblyScript", main: "protocol.ts",
			test: "tests the .wasm against each .transcript",
			needs: []need{{what: "asc, or npm, which fetches it", programs: []string{"asc", "npm"},
				install: "https://nodejs.org, or apt-get install npm, or npm install -g assemblyscript"}},
			table: [][2]string{{"protocol.ts", "the protocol"}, {"wirehost.ts", "the SDK: what there is to call"},
				{"exports.ts", "the SDK: what the server calls"},
				{"datagram.ts", "the SDK: protocols over datagrams"},
				{"datagram_exports.ts", "the SDK: what the server calls of them"},
				{"port.ts", "the SDK: listeners of its own"},
				{"package.json", "for npm"}, {"tsconfig.json", "for editors"}},
		},
	}
}

func needsClang() []need {
	return []need{
		{what: "clang with the target wasm32", programs: clangs(), args: []string{"--print-targets"},
			fits: func(text string) bool { return strings.Contains(text, "wasm32") },
			install: "apt-get install clang lld, " +
				"or brew install llvm lld and make CLANG=$(brew --prefix llvm)/bin/clang"},
		{what: "wasm-ld, clang's linker", programs: clangs(),
			args: []string{"--target=wasm32", "-print-prog-name=wasm-ld"}, fits: isFile,
			install: "apt-get install lld, or brew install lld"},
	}
}

// clangs are the names that clang may have: Debian's carry the version.
func clangs() []string {
	all := []string{"clang"}
	for v := 22; v >= 14; v-- {
		all = append(all, fmt.Sprintf("clang-%d", v))
	}
	return all
}

// isFile tells whether a program printed the path of something that is there.
func isFile(text string) bool {
	path := strings.TrimSpace(text)
	_, err := os.Stat(path)
	return err == nil && filepath.IsAbs(path)
}

// languageOf finds a language by its name.
func languageOf(name string) (*language, error) {
	for _, l := range languages() {
		if l.name == name {
			return &l, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("found no --lang, wanted one of %s", languageNames())
	}
	return nil, fmt.Errorf("found the language %q, wanted one of %s", name, languageNames())
}

func languageWords() []string {
	var words []string
	for _, l := range languages() {
		words = append(words, l.name)
	}
	return words
}

func languageNames() string { return strings.Join(languageWords(), ", ") }

// missing says what tools are not there and how to install them, one a line.
func (l *language) missing(look func(string) (string, error),
	output func(string, ...string) (string, error)) (lines []string) {
	gone := map[string]bool{}
	needs := []need{{what: "make", programs: []string{"make"},
		install: "apt-get install make, or xcode-select --install"}}
	for _, n := range append(needs, l.needs...) {
		if program := n.programs[0]; gone[program] { // it was told of
			continue
		}
		if !n.there(look, output) {
			lines = append(lines, fmt.Sprintf("%s. Install it: %s", n.what, n.install))
			gone[n.programs[0]] = true
		}
	}
	return lines
}

func (n need) there(look func(string) (string, error), output func(string, ...string) (string, error)) bool {
	for _, program := range n.programs {
		words := strings.Fields(program)
		path, err := look(words[0])
		if err != nil {
			continue
		}
		if n.args == nil {
			return true
		}
		text, err := output(path, append(words[1:], n.args...)...)
		return err == nil && n.fits(text)
	}
	return false
}

// outputPatience is how long a tool may take to say what it is.
const outputPatience = 10 * time.Second

func outputOf(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), outputPatience)
	defer cancel()
	text, err := exec.CommandContext(ctx, program, args...).Output()
	return string(text), err
}

// tools are what the build needs, for the README.
func (l *language) tools() string {
	var list []string
	for _, n := range l.needs {
		list = append(list, fmt.Sprintf("%s (%s)", n.what, n.install))
	}
	return strings.Join(list, "; ")
}

// files are the rows of the README's table.
func (l *language) files() string {
	var b strings.Builder
	for n, row := range l.table {
		if n > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "| `%s` | %s |", row[0], row[1])
	}
	return b.String()
}
