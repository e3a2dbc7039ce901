//go:build unix

package command

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// block is a fenced block of a page, and the comment before it, which says what
// becomes of it:
//
//	start: WORD   runs until the page ends; WORD in its output says that it is up
//	run           runs, and must end well
//	file: NAME    is written to a file
//	output        is what the last run block wrote
//	ci            is a line of .ci/run, which may add flags
//	of: FILE      is a part of a file of the repository
//	talk: COMMAND is a conversation with a program that goes on in later blocks
//	              of the same command: "> " begins what is typed, the rest is
//	              what it answers
//
// A comment "await: WORD" has no block: WORD must come in the output of what was
// started last.
type block struct {
	line       int
	what, text string
}

// ciFlag is a flag of a command in .ci/run.
var ciFlag = regexp.MustCompile(` -[a-z]+(=[^\s]+)?`)

func blocks(t *testing.T, page string) []block {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	what, fenced := "", false
	for n, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			if fenced = !fenced; fenced {
				list = append(list, block{line: n + 1, what: what})
				what = ""
			}
		case fenced:
			list[len(list)-1].text += line + "\n"
		case strings.HasPrefix(line, "<!-- "):
			what = strings.TrimSuffix(strings.TrimPrefix(line, "<!-- "), " -->")
			if strings.HasPrefix(what, "await: ") {
				list = append(list, block{line: n + 1, what: what})
				what = ""
			}
		}
	}
	return list
}

// reader does what a page says, in a folder of its own that looks like a clone.
type reader struct {
	t    *testing.T
	page string
	dir  string // where the reader stands
	env  string // a file with its variables
	last []byte // what the last run block wrote

	port string            // that stands for 7009; "" = 7009
	swap *strings.Replacer // of what else stands for something; nil = nothing

	around func(b block, do func()) // does a block; nil = as it is

	lines chan string              // what was started last writes them
	said  []string                 // those that were read
	talks map[string]*conversation // by command
}

// conversation is a program that is typed into.
type conversation struct {
	in  io.Writer
	out *bufio.Reader
}

const shell = `set -e
cd "$READER_DIR"
. "$READER_ENV"
`

func (r *reader) command(text string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", shell+text)
	cmd.Env = append(os.Environ(), "READER_DIR="+r.dir, "READER_ENV="+r.env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (r *reader) run(b block) {
	r.t.Helper()
	var out, errs bytes.Buffer
	cmd := r.command(b.text + "\nexport -p > \"$READER_ENV\"\npwd > \"$READER_ENV.pwd\"\n")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s:%d: %v\n%s%s", r.page, b.line, err, out.Bytes(), errs.Bytes())
	}
	pwd, err := os.ReadFile(r.env + ".pwd")
	if err != nil {
		r.t.Fatal(err)
	}
	r.dir, r.last = strings.TrimSpace(string(pwd)), out.Bytes()
}

// start runs a block in the background until the test ends.
func (r *reader) start(b block, word string) {
	r.t.Helper()
	cmd := r.command(b.text)
	cmd.Stderr = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	lines, ended := make(chan string, 1<<16), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			select {
			case lines <- in.Text():
			default: // nobody reads so far behind
			}
		}
	}()
	r.t.Cleanup(func() { r.end(cmd, ended) })
	r.lines, r.said = lines, nil
	r.await(b, word)
}

// end ends a program, and what it has started.
func (r *reader) end(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	<-ended
	_ = cmd.Wait() // how it ends is not the page's subject
}

// await reads the output of what was started last until a line has the word.
func (r *reader) await(b block, word string) {
	r.t.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case line, more := <-r.lines:
			r.said = append(r.said, line)
			switch {
			case strings.Contains(line, word):
				return
			case !more:
				r.t.Fatalf("%s:%d: ended without %q:\n%s", r.page, b.line, word, strings.Join(r.said, "\n"))
			}
		case <-late:
			r.t.Fatalf("%s:%d: no %q within 2 minutes:\n%s", r.page, b.line, word, strings.Join(r.said, "\n"))
		}
	}
}

// talk types what begins with "> ", and reads what does not.
func (r *reader) talk(b block, command string) {
	r.t.Helper()
	c := r.talks[command]
	if c == nil {
		cmd := r.command(command)
		in, err := cmd.StdinPipe()
		if err != nil {
			r.t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			r.t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			r.t.Fatal(err)
		}
		ended := make(chan struct{})
		close(ended)
		r.t.Cleanup(func() { r.end(cmd, ended) })
		c = &conversation{in, bufio.NewReader(out)}
		r.talks[command] = c
	}
	for line := range strings.Lines(b.text) {
		if typed, ok := strings.CutPrefix(line, "> "); ok {
			if _, err := io.WriteString(c.in, typed); err != nil {
				r.t.Fatalf("%s:%d: %v", r.page, b.line, err)
			}
			continue
		}
		if got, err := c.out.ReadString('\n'); got != line {
			r.t.Fatalf("%s:%d: answered %q (%v), and the page says %q", r.page, b.line, got, err, line)
		}
	}
}

func (r *reader) do(b block) {
	r.t.Helper()
	what, rest, _ := strings.Cut(b.what, ": ")
	switch what {
	case "run":
		r.run(b)
	case "start":
		r.start(b, rest)
	case "await":
		r.await(b, rest)
	case "talk":
		r.talk(b, rest)
	case "file":
		if err := os.WriteFile(filepath.Join(r.dir, rest), []byte(b.text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	case "output":
		if string(r.last) != b.text {
			r.t.Errorf("%s:%d: wrote %q, and the page says %q", r.page, b.line, r.last, b.text)
		}
	case "ci":
		ci, err := os.ReadFile("../../.ci/run")
		if err != nil {
			r.t.Fatal(err)
		}
		if !strings.Contains(ciFlag.ReplaceAllString(string(ci), ""), "\n"+b.text) {
			r.t.Errorf("%s:%d: .ci/run does not call %q", r.page, b.line, b.text)
		}
	case "of":
		file, err := os.ReadFile(filepath.Join("../..", rest))
		if err != nil {
			r.t.Fatal(err)
		}
		if !strings.Contains(string(file), b.text) {
			r.t.Errorf("%s:%d: %s has another text", r.page, b.line, rest)
		}
	case "":
	default:
		r.t.Fatalf("%s:%d: what is %q?", r.page, b.line, b.what)
	}
}

// TestReadme does what README.md says, as a newcomer would.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and serves")
	}
	readersTools(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// A clone is made of links, so that what the reader writes stays outside.
	clone := filepath.Join(t.TempDir(), "wirehost")
	if err := os.Mkdir(clone, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := os.Symlink(filepath.Join(root, e.Name()), filepath.Join(clone, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	newReader(t, clone).follow(filepath.Join(root, "README.md"), 8)
}

// readersTools are what the pages' blocks call.
func readersTools(t *testing.T) {
	t.Helper()
	for _, name := range []string{"nc", "sh"} {
		tooltest.Find(t, name, "")
	}
}

func newReader(t *testing.T, dir string) *reader {
	t.Helper()
	r := &reader{t: t, talks: map[string]*conversation{}, dir: dir, env: filepath.Join(t.TempDir(), "env")}
	if err := os.WriteFile(r.env, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// follow does what a page says, at least so many blocks.
func (r *reader) follow(page string, least int) {
	r.t.Helper()
	r.page = filepath.Base(filepath.Dir(page)) + "/" + filepath.Base(page)
	done := 0
	for _, b := range blocks(r.t, page) {
		if r.port != "" {
			b.what = strings.ReplaceAll(b.what, "7009", r.port)
			b.text = strings.ReplaceAll(b.text, "7009", r.port)
		}
		if r.swap != nil {
			b.what, b.text = r.swap.Replace(b.what), r.swap.Replace(b.text)
		}
		if r.around != nil {
			r.around(b, func() { r.do(b) })
		} else {
			r.do(b)
		}
		if b.what != "" {
			done++
		}
	}
	if done < least {
		r.t.Errorf("%s: only %d blocks were done", r.page, done)
	}
}

// author is a reader of a page of the SDK: wirehost is on the PATH, and a project's
// port is one that is free.
func author(t *testing.T) *reader {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds and serves")
	}
	readersTools(t)
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "wirehost")); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, dir)
	r.port = tooltest.FreePort(t)
	env := "export PATH=" + bin + ":$PATH GOPROXY=off GOFLAGS= WIREHOST_CACHE__DIR=" + cacheDir + "\n" +
		"export WIREHOST_LISTENERS__0__ENDPOINT=tcp://127.0.0.1:" + r.port + "\n"
	if err := os.WriteFile(r.env, []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLanguagePages does what the page of each language says. It names what has to
// be installed as `new` does.
func TestLanguagePages(t *testing.T) {
	for _, l := range languages() {
		if l.name == "cpp" {
			continue // is on C's page, and TestNewBuilds builds it
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			page, err := filepath.Abs("../../sdk/" + l.name + "/README.md")
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Join(strings.Fields(strings.ReplaceAll(string(text), "`", "")), " ")
			for _, n := range l.needs {
				for _, how := range strings.Split(n.install, ", or ") {
					if !strings.Contains(words, how) {
						t.Errorf("found no %q", how)
					}
				}
			}
			toolchain(t, l)
			author(t).follow(page, 12)
		})
	}
}

// TestCookbook does what the cookbook says.
func TestCookbook(t *testing.T) {
	t.Parallel()
	page, err := filepath.Abs("../../sdk/COOKBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	author(t).follow(page, 20)
}

// TestProfilingPage does what the page on profiles says, in three languages.
func TestProfilingPage(t *testing.T) {
	t.Parallel()
	for _, l := range languages() {
		if l.name == "c" || l.name == "rust" {
			toolchain(t, l)
		}
	}
	page, err := filepath.Abs("../../sdk/PROFILING.md")
	if err != nil {
		t.Fatal(err)
	}
	author(t).follow(page, 15)
}
