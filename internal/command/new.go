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
		Use:   "new --lang LANG NAME",
		Short: "Make a plugin project in a new folder",
		Long: "Make a plugin project in a new folder NAME: the SDK's source, a protocol that echoes, its tests,\n" +
			"a Makefile whose default target builds NAME.wasm, and a configuration to serve it.\n\n" +
			"LANG is one of " + languageNames() + ".",
		Args: arguments("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := languageOf(lang)
			if err != nil {
				return &usageError{err}
			}
			if !projectName.MatchString(args[0]) {
				return &usageError{fmt.Errorf("found the name %q, wanted a letter a to z, then letters a to z, "+
					"digits and _, 64 at most", args[0])}
			}
			return a.newProject(l, args[0])
		},
	}
	cmd.Flags().StringVarP(&lang, "lang", "l", "", "`LANG`uage: "+languageNames())
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
func (a *app) newProject(l *language, name string) error {
	files, err := l.project(name)
	if err != nil {
		return err
	}
	if err := writeProject(name, files); err != nil {
		return err
	}
	var b strings.Builder
	for _, missing := range l.missing(exec.LookPath, outputOf) {
		fmt.Fprintf(&b, "Missing: %s\n", missing)
	}
	fmt.Fprintf(&b, "Made %s, a protocol in %s: %s.\n", name+string(filepath.Separator), l.title,
		plural(len(files), "file"))
	where := "" // make finds wirehost
	if path := self(); path != "wirehost" {
		where = " WIREHOST=" + path
	}
	commands := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"make -C " + name, "build " + name + ".wasm"},
		{"make -C " + name + " test" + where, "test it"},
		{self() + " serve --config " + filepath.Join(name, projectConfig), "serve it"},
		{"echo hello | nc -N " + strings.Replace(projectAddress, ":", " ", 1), "try it, from another terminal"},
		{self() + " dev " + name, "serve it, and build and reload it at each save"},
	} {
		fmt.Fprintf(commands, "  %s\t# %s\n", line[0], line[1]) // Flush has its error
	}
	if err := commands.Flush(); err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, b.String())
	return err
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
