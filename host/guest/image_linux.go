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

// image is what linear memory holds when a module is instantiated, or after its start.
// A large one is a file in memory, of which each instance has a private mapping: a page
// that no instance writes is there once, and one that none touches costs an instance
// nothing. The file has no name: nobody can cut it short under a mapping. A small one
// is copied.
type image struct {
	size  int               // bytes, whole pages
	view  []byte            // all of it, read-only; nil for a file that is only mapped
	parts []compile.Segment // of view, what is not zero, of one that is copied
	why   error             // of a large one that is copied: why it is no file
	file  *os.File          // nil = it is copied
	remap func(b []byte, fd, flags int) error
}

// mappedFrom is how much of a memory is worth a mapping, in bytes that are not zero: to
// copy less costs less.
const mappedFrom = 256 << 10

// newImage makes an image of segments; nil where there are none.
func newImage(segments []compile.Segment) (*image, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	total := 0
	for _, s := range segments {
		total += len(s.Bytes)
	}
	if total < mappedFrom {
		return newCopied(segments)
	}
	im, err := newFile(segments)
	if err == nil {
		return im, nil
	}
	im, other := newCopied(segments) // each instance has more pages of its own, and works
	if other != nil {
		return nil, errors.Join(err, other)
	}
	im.why = err
	return im, nil
}

// imageOfParts makes an image of what is not zero in a linear memory, which instances can
// be put back to.
func imageOfParts(parts []compile.Segment) (*image, error) {
	im, err := newImage(parts)
	if err != nil || im == nil {
		return &image{}, err
	}
	if im.view == nil {
		im.view, err = unix.Mmap(int(im.file.Fd()), 0, im.size, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, errors.Join(os.NewSyscallError("mmap", err), im.close())
		}
	}
	return im, nil
}

// newCopied makes one that is copied. Its pages that are zero take no memory.
func newCopied(segments []compile.Segment) (*image, error) {
	im := &image{size: extent(segments)}
	var err error
	im.view, err = unix.Mmap(-1, 0, im.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	for _, s := range segments {
		part := im.view[s.Address : int(s.Address)+len(s.Bytes)]
		copy(part, s.Bytes)
		im.parts = append(im.parts, compile.Segment{Address: s.Address, Bytes: part})
	}
	return im, nil
}

// extent is where the last of segments ends, in bytes, whole pages.
func extent(segments []compile.Segment) (size int) {
	for _, s := range segments {
		size = max(size, int(s.Address)+len(s.Bytes))
	}
	page := os.Getpagesize()
	return (size + page - 1) / page * page
}

func newFile(segments []compile.Segment) (*image, error) {
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

// at is the granule at an address, in bytes.
func (im *image) at(address int) []byte {
	if address >= len(im.view) {
		return zeros[:]
	}
	return im.view[address : address+granule]
}

func (im *image) fill(segments []compile.Segment) error {
	im.size = extent(segments)
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

// fileSize is the size of the image's file, in bytes; 0 where it is copied.
func (im *image) fileSize() uint64 {
	if im == nil || im.file == nil {
		return 0
	}
	return uint64(im.size)
}

// close ends the image; mappings of it stay.
func (im *image) close() error {
	if im == nil {
		return nil
	}
	var errs []error
	if im.view != nil {
		errs = append(errs, os.NewSyscallError("munmap", unix.Munmap(im.view)))
	}
	if im.file != nil {
		errs = append(errs, im.file.Close())
	}
	return errors.Join(errs...)
}

// replace gives a memory that holds what its image does that image, in place of another.
func (im *image) replace(m *linearMemory) error {
	if err := unput(m); err != nil { // what is mapped of the other must not be seen again
		return err
	}
	return im.put(m)
}

// put gives a memory its image, in place of its first pages: they must be zero, or hold
// that already.
func (im *image) put(m *linearMemory) error {
	if im == nil {
		return nil
	}
	if im.size > len(m.reserved) {
		return fmt.Errorf("found an image of %d bytes, wanted at most %d", im.size, len(m.reserved))
	}
	if im.file == nil {
		for _, p := range im.parts {
			copy(m.reserved[p.Address:], p.Bytes)
		}
		return nil
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

// smallPages has the system tell of each page of a memory whether it was written.
func smallPages(m *linearMemory) {
	_ = unix.Madvise(m.reserved, unix.MADV_NOHUGEPAGE) // without it, more is compared
}

// drop has a memory give its pages back: it is the image's again, and zero behind that.
func (im *image) drop(m *linearMemory) error {
	if err := unix.Madvise(m.reserved[:m.size], unix.MADV_DONTNEED); err != nil {
		return os.NewSyscallError("madvise", err)
	}
	if m.image > 0 {
		return nil // a mapping shows its file again
	}
	return im.put(m)
}

// unput has the range of a memory be without its image.
func unput(m *linearMemory) error {
	if m.image == 0 {
		return nil
	}
	if err := remap(m.reserved[:m.image], -1, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return err
	}
	m.image = 0
	return nil
}
