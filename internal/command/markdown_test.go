package command

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const lastColumn = 120 // of a line of Markdown; .golangci.yml has the same for Go

var (
	// link is a link of Markdown to a file.
	link = regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`)
	// unbroken is a line that can't be broken: a table's row, or nothing but one link.
	unbroken = regexp.MustCompile(`^(\||[-*> ]*\[[^\]]*\]\([^)]*\)[.,;:]?$)`)
)

// readPages calls visit with each page of the project.
func readPages(t *testing.T, visit func(page, text string)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(page string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules" || e.Name() == "dist"):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(page, ".md"):
			return nil
		}
		text, err := os.ReadFile(page)
		if err == nil {
			visit(page, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinks looks where the links of every page lead.
func TestLinks(t *testing.T) {
	seen := 0
	readPages(t, func(page, text string) {
		for _, to := range link.FindAllStringSubmatch(text, -1) {
			seen++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), to[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", page, err)
			}
		}
	})
	if seen < 50 {
		t.Errorf("looked at %d links", seen)
	}
}

// TestPageLines holds every page's lines to a length that fits beside a diff.
func TestPageLines(t *testing.T) {
	seen := 0
	readPages(t, func(page, text string) {
		for n, line := range strings.Split(text, "\n") {
			seen++
			if found := utf8.RuneCountInString(line); found > lastColumn && !unbroken.MatchString(line) {
				t.Errorf("%s:%d: found %d columns, wanted %d at most", page, n+1, found, lastColumn)
			}
		}
	})
	if seen < 1000 {
		t.Errorf("looked at %d lines", seen)
	}
}
