//go:generate go run ../internal/sdkgen .

// Package sdk holds the SDKs' sources, each small enough to be copied into a
// project as it is.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Version is that of the SDKs' sources. C, Rust and Zig leave it in a module, in a
// section wirehost_sdk, and AssemblyScript in its data; a project in Go requires it.
const Version = "0.1.0"

// The patterns can't leave tests out; Files does.
//
//go:embed assemblyscript/*.ts
//go:embed c/wirehost.c c/wirehost.h c/wirehost.hpp c/wirehost_test.h
//go:embed go/*.go go/*/*.go
//go:embed rust/wirehost.rs
//go:embed zig/wirehost.zig
var sources embed.FS // never changed

// Files are the sources of a language's SDK by slash-separated path: that in the
// language's folder here, of cpp that of C. The caller owns them. The SDK's own tests are not among
// them, what a project's tests need is. The error wraps fs.ErrNotExist.
func Files(language string) (map[string][]byte, error) {
	if strings.ContainsAny(language, "/.") || language == "" {
		return nil, fmt.Errorf("no SDK %q: %w", language, fs.ErrNotExist)
	}
	folder := language
	if language == "cpp" {
		folder = "c" // which has both
	}
	files := map[string][]byte{}
	err := fs.WalkDir(sources, folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path.Base(name), "_test.go") ||
			language == "c" && path.Ext(name) == ".hpp" {
			return err
		}
		text, err := sources.ReadFile(name)
		files[strings.TrimPrefix(name, folder+"/")] = text
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the SDK in %s: %w", language, err)
	}
	return files, nil
}
