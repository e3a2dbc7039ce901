//go:build unix

package guest

import (
	"errors"
	"syscall"
	"testing"
)

// errNoMemory is mmap's where addresses are out.
var errNoMemory = syscall.ENOMEM

func noMemory(uint64) ([]byte, error) { return nil, errNoMemory }

// TestRoomForTheHeap: where addresses are scarce, a reservation that leaves too
// few to Go's heap fails.
func TestRoomForTheHeap(t *testing.T) {
	r := NewReservations()
	left := uint64(addressRoom + 2*wasmPage)
	r.scarce = func() bool { return true }
	r.Map = func(size uint64) ([]byte, error) {
		if size > left {
			return nil, errNoMemory
		}
		left -= size
		return make([]byte, size), nil
	}
	r.munmap = func(b []byte) error { left += uint64(len(b)); return nil }
	var held []*linearMemory
	for range 2 {
		m, err := r.reserve(wasmPage)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, m)
	}
	if _, err := r.reserve(wasmPage); !errors.Is(err, errNoMemory) {
		t.Errorf("got %v, wanted %v", err, errNoMemory)
	}
	for _, m := range held {
		m.Free()
		m.Free() // once is enough
	}
	if left != addressRoom+2*wasmPage || r.live != 0 {
		t.Errorf("%d bytes are left, and %d memories", left, r.live)
	}
}

// TestRangeIsKept: one that the system does not take back is used again, and is
// zero.
func TestRangeIsKept(t *testing.T) {
	r := NewReservations()
	m, err := r.reserve(wasmPage)
	if err != nil {
		t.Fatal(err)
	}
	system := r.munmap
	r.munmap = func([]byte) error { return errNoMemory }
	b := m.Reallocate(wasmPage)
	b[7] = 1
	m.Free()
	r.Map = noMemory
	if m, err = r.reserve(wasmPage); err != nil {
		t.Fatal(err)
	}
	if again := m.Reallocate(wasmPage); &again[0] != &b[0] || again[7] != 0 {
		t.Errorf("another range, or byte 7 is %d", again[7])
	}
	r.munmap = system
	m.Free()
	if r.live != 0 {
		t.Errorf("%d memories are left", r.live)
	}
}

// TestNoGrowthWhileShort: while the process is short of memory no linear memory grows;
// it does when that is over.
func TestNoGrowthWhileShort(t *testing.T) {
	r := NewReservations()
	m, err := r.reserve(4 * wasmPage)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	refused := 0
	m.refused = func(uint64) { refused++ }
	r.SetShort(true)
	if m.Reallocate(wasmPage) == nil || m.Reallocate(2*wasmPage) != nil || refused != 1 {
		t.Errorf("while memory is short: %d growths refused, wanted the second alone", refused)
	}
	r.SetShort(false)
	if m.Reallocate(2*wasmPage) == nil {
		t.Error("no growth when it is over")
	}
}
