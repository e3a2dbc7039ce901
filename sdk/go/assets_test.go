package wirehost_test

import (
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// TestAssetsAreAFileSystem holds them to what package io/fs demands.
func TestAssetsAreAFileSystem(t *testing.T) {
	files := fstest.MapFS{
		"a": {Data: []byte("12345")}, "empty": {}, "d/b": {Data: []byte("x")}, "d/e/c": {}, "d-e": {}, "d.e/f": {},
		"d/e.f": {}, "é": {},
	}
	var a wirehost.Assets
	start := func(o sdktest.Options) {
		t.Helper()
		if _, err := sdktest.Start(measuring{start: func(r *wirehost.Reactor) error {
			a = r.Assets()
			return nil
		}}, o); err != nil {
			t.Fatal(err)
		}
	}
	start(sdktest.Options{Assets: files})
	if err := fstest.TestFS(a, "a", "empty", "d/b", "d/e/c", "d-e", "d.e/f", "d/e.f", "é"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]error{"none": fs.ErrNotExist, "d/e/": fs.ErrInvalid, "/a": fs.ErrInvalid,
		"a/b": fs.ErrNotExist, "d/": fs.ErrInvalid, "": fs.ErrInvalid, "..": fs.ErrInvalid, "b": fs.ErrNotExist} {
		if _, err := a.Open(name); !errors.Is(err, want) {
			t.Errorf("%q: found %v, wanted %v", name, err, want)
		}
	}
	f, err := a.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	if n, err := f.(io.ReaderAt).ReadAt(b, 3); n != 2 || err != io.EOF || string(b[:n]) != "45" {
		t.Errorf("found %q, %v", b[:n], err)
	}
	start(sdktest.Options{})
	if list, err := a.ReadDir("."); len(list) > 0 || err != nil {
		t.Errorf("without a folder: found %v, %v", list, err)
	}
	broken := fstest.MapFS{"a": {Mode: fs.ModeDir}, "a/b": {}}
	if _, err := sdktest.Start(measuring{}, sdktest.Options{Assets: unreadable{broken}}); !errors.Is(err,
		fs.ErrPermission) {
		t.Errorf("found %v, wanted that they can't be read", err)
	}
}

// unreadable has files that can't be read.
type unreadable struct{ fstest.MapFS }

func (unreadable) ReadFile(string) ([]byte, error) { return nil, fs.ErrPermission }
