package operate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAssetsAreWatched: a folder is found beside the configuration, is another version when
// what it has changes, also by a link that is swapped, and one that can't be taken is told of.
func TestAssetsAreWatched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wirehost.yaml")
	text := settings("builtin:echo", "")
	text = strings.Replace(text, "builtin:echo", "'builtin:echo', assets: now, limits: {asset_files: 2}", 1)
	write(t, file, text)
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "a"), version)
	}
	lead := func(to string) {
		t.Helper()
		now := filepath.Join(dir, "now")
		for _, err := range []error{os.Symlink(to, now+".new"), os.Rename(now+".new", now)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	lead("v1")
	log := newJournal(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	o := Options{Load: File(file), Log: log}
	o.Host.Builtin = builtin
	go func() { ended <- Run(ctx, o) }()
	log.await("ready")
	lead("v2")
	log.await("version is active")
	write(t, filepath.Join(dir, "v2", "a"), "v3")
	log.await("version is active")
	write(t, filepath.Join(dir, "v2", "b"), "")
	log.await("version is active")
	write(t, filepath.Join(dir, "v2", "c"), "")
	if line := log.await("the changed module is refused"); !strings.Contains(line, "more than 2 files and folders") {
		t.Errorf("found %s, wanted why", line)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
