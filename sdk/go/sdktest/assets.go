package sdktest

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// asset is a file of the plugin's assets.
type asset struct {
	name    string
	content []byte
}

// readAssets takes the files as they are.
func (s *Server) readAssets() error {
	if s.options.Assets == nil {
		return nil
	}
	err := fs.WalkDir(s.options.Assets, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(s.options.Assets, name)
		s.assets = append(s.assets, asset{name, content})
		return err
	})
	if err != nil {
		return fmt.Errorf("assets: %w", err)
	}
	slices.SortFunc(s.assets, func(a, b asset) int { return strings.Compare(a.name, b.name) })
	return nil
}

func (s imports) AssetCount() int32 {
	s.Calls++
	return int32(len(s.assets))
}

// asset is the file of a number; nil = none.
func (s imports) asset(i int32) *asset {
	s.Calls++
	if i < 0 || int(i) >= len(s.assets) {
		return nil
	}
	return &s.assets[i]
}

func (s imports) AssetName(i int32, buf []byte) int32 {
	if a := s.asset(i); a != nil {
		return fill(buf, a.name)
	}
	return status(wirehost.ErrInvalid)
}

func (s imports) AssetSize(i int32) int32 {
	if a := s.asset(i); a != nil {
		return int32(len(a.content))
	}
	return status(wirehost.ErrInvalid)
}

func (s imports) AssetRead(i, offset int32, buf []byte) int32 {
	a := s.asset(i)
	if a == nil || offset < 0 {
		return status(wirehost.ErrInvalid)
	}
	return int32(copy(buf, a.content[min(int(offset), len(a.content)):]))
}
