//go:build !linux

package guest

import (
	"errors"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

var errNoImages = errors.New("no images on this system") // never changed

// image is not used here: wazero copies the data.
type image struct{ why error }

func newImage(segments []compile.Segment) (*image, error) {
	if len(segments) > 0 {
		return nil, errors.New("found a module that was compiled for another system")
	}
	return nil, nil
}

func (*image) fileSize() uint64                      { return 0 }
func (*image) close() error                          { return nil }
func (*image) put(*linearMemory) error               { return nil }
func (*image) replace(*linearMemory) error           { return nil }
func smallPages(*linearMemory)                       {}
func (*image) drop(*linearMemory) error              { return nil }
func (*image) at(int) []byte                         { return nil }
func imageOfParts([]compile.Segment) (*image, error) { return nil, errNoImages }
func unput(*linearMemory) error                      { return nil }
