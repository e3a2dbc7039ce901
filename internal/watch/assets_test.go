package watch

import (
	"os"
	"testing"

	"github.com/wirehost/wirehost/internal/assets"
)

// watchFolder watches a folder of assets, and a file whose change ends a test.
func (b *bench) watchFolder(path string) {
	b.Helper()
	b.must(b.Set(map[string]File{
		"p":    {Path: b.path(path), Folder: &assets.Limits{Files: 20, Bytes: 1 << 20}},
		"last": {Path: b.path("last")},
	}))
}

// TestFolderChanges: whatever changes what a folder has is noticed, once it is at rest.
func TestFolderChanges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		path   string // watched; "" = d
		before func(b *bench)
		change func(b *bench)
	}{
		{name: "a file written", change: func(b *bench) { b.write("d/f", "new") }},
		{name: "a file added", change: func(b *bench) { b.write("d/g", "new") }},
		{name: "a file removed", change: func(b *bench) { b.must(os.Remove(b.path("d/f"))) }},
		{name: "a file renamed", change: func(b *bench) { b.must(os.Rename(b.path("d/f"), b.path("d/g"))) }},
		{name: "a file below written", before: func(b *bench) { b.write("d/a/b/f", "old") },
			change: func(b *bench) { b.write("d/a/b/f", "new") }},
		{name: "folders added", change: func(b *bench) { b.write("d/a/b/f", "new") }},
		{name: "a folder moved in", before: func(b *bench) { b.write("n/f", "new") },
			change: func(b *bench) { b.must(os.Rename(b.path("n"), b.path("d/n"))) }},
		{name: "a folder removed", before: func(b *bench) { b.write("d/a/f", "old") },
			change: func(b *bench) { b.must(os.RemoveAll(b.path("d/a"))) }},
		{name: "swapped by a link", path: "now",
			before: func(b *bench) { b.write("v1/f", "old"); b.write("v2/f", "new"); b.link("v1", "now") },
			change: func(b *bench) { b.swap("v2", "now") }},
		{name: "swapped", before: func(b *bench) { b.write("n/f", "new") },
			change: func(b *bench) {
				b.must(os.Rename(b.path("d"), b.path("was")))
				b.must(os.Rename(b.path("n"), b.path("d")))
			}},
		{name: "a ConfigMap of Kubernetes",
			before: func(b *bench) {
				b.write("d/..1/g", "old")
				b.write("d/..2/g", "new")
				b.link("..1", "d/..data")
				b.link("..data/g", "d/g")
			},
			change: func(b *bench) { b.swap("..2", "d/..data") }},
		{name: "behind a link that is left out", before: func(b *bench) {
			b.write("d/.x/g", "old")
			b.link(".x/g", "d/g")
		},
			change: func(b *bench) { b.write("d/.x/g", "new") }},
		{name: "made later", path: "later", change: func(b *bench) { b.write("later/f", "new") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.write("d/f", "old")
			if tc.before != nil {
				tc.before(b)
			}
			if tc.path == "" {
				tc.path = "d"
			}
			b.watchFolder(tc.path)
			tc.change(b)
			b.want("p")
			for range 2 { // it is still watched, in what has come too
				b.write(tc.path+"/more/f", "and again")
				b.want("p")
				b.must(os.RemoveAll(b.path(tc.path + "/more")))
				b.want("p")
			}
			b.quiet("last")
		})
	}
}

// TestFolderUnchanged: what is left out does not count, nor what is as it was.
func TestFolderUnchanged(t *testing.T) {
	b := newBench(t)
	b.write("d/f", "old")
	b.watchFolder("d")
	b.write("d/.f.swp", "x")
	b.write("d/f~", "x")
	b.write("d/.git/config", "x")
	b.write("d/f", "old")
	b.write("d/g", "x")
	b.must(os.Remove(b.path("d/g")))
	b.quiet("last")
}

// TestBadFolder: a folder that can't be taken as it is is told of too, so that whoever wants it
// says why; and again when it can be.
func TestBadFolder(t *testing.T) {
	b := newBench(t)
	b.write("d/f", "old")
	b.watchFolder("d")
	b.link("../none", "d/l")
	b.want("p")
	b.must(os.Remove(b.path("d/l")))
	b.want("p")
	b.quiet("last")
}
