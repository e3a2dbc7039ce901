package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/internal/command"
)

// Every command has a page, which has its flags; and there is no other page.
func TestPages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	dir := filepath.Join(t.TempDir(), "man1")
	if err := run([]string{dir}); err != nil {
		t.Fatal(err)
	}
	pages := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd.HasParent() || cmd.IsAdditionalHelpTopicCommand() {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), "Sep 2001") {
			t.Errorf("%s: found %v, or another date", name, err)
		}
		pages++
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(command.Tree())
	have, err := os.ReadDir(dir)
	if err != nil || len(have) != pages || pages < 20 {
		t.Errorf("found %d pages for %d commands, %v", len(have), pages, err)
	}
	for page, want := range map[string]string{"wirehost-conns-close.1": "--abort", "wirehost.1": "wirehost-conns(1)"} {
		if text, err := os.ReadFile(filepath.Join(dir, page)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: found no %s, %v", page, want, err)
		}
	}
	if run(nil) == nil {
		t.Error("found no error without a folder")
	}
}
