package wirehost_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Numbers of a later version of the contract are told as such.
func TestUnknownCodes(t *testing.T) {
	if found, wanted := wirehost.Status(-99).Error(), "status -99"; found != wanted {
		t.Errorf("found %q, wanted %q", found, wanted)
	}
	if found, wanted := wirehost.Reason(99).String(), "reason 99"; found != wanted {
		t.Errorf("found %q, wanted %q", found, wanted)
	}
}

// The SDK can be copied into a project as it is: it imports the standard library
// alone.
func TestStandardLibraryAlone(t *testing.T) {
	const self = "github.com/wirehost/wirehost/sdk/go"
	for _, dir := range []string{".", "sdktest"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") &&
					!(dir == "sdktest" && path == self) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
