package command

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is a link of Markdown to a file.
var link = regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`)

// TestLinks looks where the links of every page lead.
func TestLinks(t *testing.T) {
	seen := 0
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
		if err != nil {
			return err
		}
		for _, to := range link.FindAllStringSubmatch(string(text), -1) {
			seen++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), to[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", page, err)
			}
		}
		return nil
	})
	if err != nil || seen < 50 {
		t.Errorf("looked at %d links: %v", seen, err)
	}
}
