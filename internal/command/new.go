package command

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/sdk"
)

//go:embed all:templates
var templates embed.FS // never changed

// projectAddress is where a new project listens.
const projectAddress = "127.0.0.1:7009"

func newNew(a *app) *cobra.Command {
	var lang string
	cmd := &cobra.Command{
		Use:   "new --lang LANG PATH",
		Short: "Make a plugin project in a new folder",
		Long: "Make a plugin project in a new folder PATH, whose last part is its name: the SDK's source,\n" +
			"a protocol that echoes, its tests, a Makefile whose default target builds NAME.wasm, and a\n" +
			"configuration to serve it.\n\n" +
			"LANG is one of " + languageNames() + ".",
		Example: "  wirehost new --lang go hello\n  wirehost new --lang rust ~/src/gopher",
		Args:    arguments("PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := languageOf(lang)
			if err != nil {
				return &usageError{err}
			}
			dir := filepath.Clean(args[0])
			if name := filepath.Base(dir); args[0] == "" || !projectName.MatchString(name) {
				return &usageError{fmt.Errorf("found the name %q, wanted a letter a to z, then letters a to z, "+
					"digits and _, 64 at most; folders may stand before it", name)}
			}
			return a.newProject(l, dir)
		},
	}
	cmd.Flags().StringVarP(&lang, "lang", "l", "", "`LANG` of the project: "+languageNames())
	// fails without the flag alone
	_ = cmd.RegisterFlagCompletionFunc("lang",
		cobra.FixedCompletions(languageWords(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// projectName are names that are identifiers in every language, and names of
// plugins in a configuration.
var projectName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// newProject makes the project, and says first what is missing to build it, then
// what to type.
func (a *app) newProject(l *language, dir string) error {
	name := filepath.Base(dir)
	files, err := l.project(name)
	if err != nil {
		return err
	}
	if err := writeProject(dir, files); err != nil {
		return err
	}
	var b strings.Builder
	for _, missing := range l.missing(exec.LookPath, outputOf) {
		fmt.Fprintf(&b, "Missing: %s\n", missing)
	}
	fmt.Fprintf(&b, "Made %s, a protocol in %s: %s.\n", dir+string(filepath.Separator), l.title,
		plural(len(files), "file"))
	where := "" // make finds wirehost
	if path := self(); path != "wirehost" {
		where = " WIREHOST=" + path
	}
	at := shellWord(dir)
	commands := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"make -C " + at, "build " + name + ".wasm"},
		{"make -C " + at + " test" + where, "test it"},
		{self() + " serve --config " + shellWord(filepath.Join(dir, projectConfig)), "serve it"},
		{"echo hello | nc -N " + strings.Replace(projectAddress, ":", " ", 1), "try it, from another terminal"},
		{self() + " dev " + at, "serve it, and build and reload it at each save"},
	} {
		fmt.Fprintf(commands, "  %s\t# %s\n", line[0], line[1]) // Flush has its error
	}
	if err := commands.Flush(); err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, b.String())
	return err
}

// shellWord is a path as a shell takes it for one word.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return strings.ContainsRune("/._-+@%,:=", r) || unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// projectConfig is the configuration's name in a project's folder.
const projectConfig = "wirehost.yaml"

// self is how to call this command again.
func self() string {
	if path, err := exec.LookPath("wirehost"); err == nil && path != "" {
		return "wirehost"
	}
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "wirehost"
}

// project gives a new project's files by slash-separated path.
func (l *language) project(name string) (map[string][]byte, error) {
	files, err := sdk.Files(l.name)
	if err != nil {
		return nil, err
	}
	if l.folder != "" {
		inside := make(map[string][]byte, len(files))
		for file, text := range files {
			inside[path.Join(l.folder, file)] = text
		}
		files = inside
	}
	fill := strings.NewReplacer("@NAME@", name, "@SDK@", sdk.Version, "@LANGUAGE@", l.title, "@MAIN@", l.main,
		"@TEST@", l.test, "@TOOLS@", l.tools(), "@FILES@", l.files(), "@CLANGS@", strings.Join(clangs(), " "))
	for _, from := range []string{"common", l.name} {
		root := path.Join("templates", from)
		err := fs.WalkDir(templates, root, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := templates.ReadFile(file)
			to := strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".tmpl")
			if path.Base(to) == "gitignore" {
				to = path.Join(path.Dir(to), ".gitignore")
			}
			files[to] = []byte(fill.Replace(string(text)))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// writeProject writes the files into a new folder. On an error nothing of it is
// left.
func writeProject(dir string, files map[string][]byte) (err error) {
	err = os.Mkdir(dir, 0o777) // less the umask, as any tool
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: found it there already, wanted the name of a new folder", dir)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return err
		}
	}
	return nil
}
