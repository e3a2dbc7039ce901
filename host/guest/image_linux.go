package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// image is what linear memory holds when an instance of a module starts: a file in
// memory, of which each instance has a private mapping. So a page that no instance
// writes is there once, and one that none touches costs an instance nothing. The
// file has no name: nobody can cut it short under a mapping.
type image struct {
	file  *os.File
	size  int // bytes, whole pages
	remap func(b []byte, fd, flags int) error
}

// newImage makes an image of segments; nil where there are none.
func newImage(segments []compile.Segment) (*image, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	fd, err := unix.MemfdCreate("wirehost-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	im := &image{file: os.NewFile(uintptr(fd), "image"), remap: remap}
	if err := im.fill(segments); err != nil {
		return nil, errors.Join(err, im.close())
	}
	return im, nil
}

func (im *image) fill(segments []compile.Segment) error {
	for _, s := range segments {
		im.size = max(im.size, int(s.Address)+len(s.Bytes))
	}
	page := os.Getpagesize()
	im.size = (im.size + page - 1) / page * page
	if err := im.file.Truncate(int64(im.size)); err != nil {
		return err
	}
	for _, s := range segments {
		if _, err := im.file.WriteAt(s.Bytes, int64(s.Address)); err != nil {
			return err
		}
	}
	_, err := unix.FcntlInt(im.file.Fd(), unix.F_ADD_SEALS,
		unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return os.NewSyscallError("fcntl", err)
}

// close ends the image; mappings of it stay.
func (im *image) close() error {
	if im == nil {
		return nil
	}
	return im.file.Close()
}

// put gives a memory its image, in place of its first pages: they must be zero.
func (im *image) put(m *linearMemory) error {
	if im == nil {
		return nil
	}
	if im.size > len(m.reserved) {
		return fmt.Errorf("found an image of %d bytes, wanted at most %d", im.size, len(m.reserved))
	}
	if im.remap(m.reserved[:im.size], int(im.file.Fd()), unix.MAP_PRIVATE) == nil {
		m.image = im.size
		return nil
	}
	// The number of mappings is limited (vm.max_map_count); a copy needs none.
	_, err := io.ReadFull(io.NewSectionReader(im.file, 0, int64(im.size)), m.reserved[:im.size])
	return err
}

// remap puts a mapping of fd, or of no file (-1), in place of a range.
func remap(b []byte, fd, flags int) error {
	_, err := unix.MmapPtr(fd, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)), unix.PROT_READ|unix.PROT_WRITE,
		flags|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return os.NewSyscallError("mmap", err)
}

// unput has the range of a memory be without its image, and reports whether it is.
func unput(m *linearMemory) bool {
	return m.image == 0 || remap(m.reserved[:m.image], -1, unix.MAP_PRIVATE|unix.MAP_ANON) == nil
}
