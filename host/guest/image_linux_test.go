package guest

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// TestImage: each memory begins with its image, and sees no other's writes; a range
// that is used again, for a module without one, holds nothing of it. So it is
// where the system has no mapping left, and the image is copied.
func TestImage(t *testing.T) {
	const size = 1 << 20
	segments := []compile.Segment{{Address: 5, Bytes: []byte("first")}, {Address: 70_000, Bytes: []byte("second")}}
	want, zero := make([]byte, size), make([]byte, size)
	for _, s := range segments {
		copy(want[s.Address:], s.Bytes)
	}
	for name, made := range map[string]func([]compile.Segment) (*image, error){
		"mapped": newFile, "no mapping left": newFile, "small": newImage,
	} {
		t.Run(name, func(t *testing.T) {
			im, err := made(segments)
			if err != nil {
				t.Fatal(err)
			}
			if name == "no mapping left" {
				im.remap = func([]byte, int, int) error { return unix.ENOMEM }
			}
			r := NewReservations()
			refused := 0
			r.munmap = func(b []byte) error { refused++; return unix.ENOMEM }
			memory := func() *linearMemory {
				t.Helper()
				m, err := r.reserve(size)
				if err != nil {
					t.Fatal(err)
				}
				if err := im.put(m); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(m.reserved, want) {
					t.Error("the memory does not begin with its image")
				}
				return m
			}
			one, two := memory(), memory()
			copy(one.reserved, "written")
			copy(one.reserved[70_000:], "written")
			if !bytes.Equal(two.reserved, want) {
				t.Error("a memory sees what another has written")
			}
			one.Free()
			memory().Free() // in the same range
			plain, err := r.reserve(size)
			if err != nil {
				t.Fatal(err)
			}
			if refused != 2 || !bytes.Equal(plain.reserved, zero) {
				t.Errorf("after %d ranges that were kept: a memory without an image does not begin with zeros", refused)
			}
			r.munmap = unix.Munmap
			plain.Free()
			two.Free()
			if err := im.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestImageIsSealed: nobody changes what instances begin with, nor cuts it short
// under their mappings.
func TestImageIsSealed(t *testing.T) {
	im, err := newFile([]compile.Segment{{Address: 0, Bytes: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	defer im.close()
	if _, err := im.file.WriteAt([]byte("y"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing: %v", err)
	}
	if err := im.file.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating: %v", err)
	}
}

// TestImageTooLarge: an image that does not fit is refused.
func TestImageTooLarge(t *testing.T) {
	im, err := newImage([]compile.Segment{{Address: 1 << 20, Bytes: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	defer im.close()
	r := NewReservations()
	m, err := r.reserve(wasmPage)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if im.put(m) == nil {
		t.Error("it was taken")
	}
}
