//go:build unix

package host

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// linearMemory is a range of addresses reserved once for all that an instance
// may grow to, so that it never moves: a view of it stays valid. Pages cost
// nothing until they are touched.
type linearMemory struct {
	from     *reservations
	reserved []byte
	image    int                 // so many bytes of it are a private mapping of an image
	refused  func(wanted uint64) // a growth
	short    *atomic.Bool        // no growth now; nil = never
	size     uint64              // bytes that wazero has
}

// reservations are where a host's linear memories come from and go to. Any
// goroutine.
type reservations struct {
	mmap   func(size uint64) ([]byte, error)
	munmap func([]byte) error
	scarce func() bool // addresses are limited, and Go's own heap needs some

	mu   sync.Mutex
	live int
	kept map[int][][]byte // by size: ranges that the system did not take back
}

// addressRoom is what is left to Go's heap where addresses are limited: it takes
// them 64 MiB at a time, and ends the process where it gets none.
const addressRoom = 128 << 20

func newReservations() *reservations {
	return &reservations{mmap: mmapAnonymous, munmap: unix.Munmap, scarce: sync.OnceValue(addressesAreScarce), kept: map[int][][]byte{}}
}

func mmapAnonymous(size uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

// reserve gets a range of addresses, which is zero.
func (r *reservations) reserve(size uint64) (*linearMemory, error) {
	b, err := r.reuse(size), error(nil)
	if b == nil {
		b, err = r.mapped(size)
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live++
	return &linearMemory{from: r, reserved: b}, nil
}

// mapped asks the system, and sees to it that the heap's room is left.
func (r *reservations) mapped(size uint64) ([]byte, error) {
	if r.scarce() {
		room, err := r.mmap(addressRoom)
		if err != nil {
			return nil, fmt.Errorf("mmap of %d bytes more for the heap: %w", addressRoom, err)
		}
		defer r.unmap(room)
	}
	b, err := r.mmap(size)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	return b, nil
}

// reuse is a range that was kept, or nil.
func (r *reservations) reuse(size uint64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.kept[int(size)]
	if len(list) == 0 {
		return nil
	}
	b := list[len(list)-1]
	r.kept[int(size)] = list[:len(list)-1]
	return b
}

// unmap gives a range back.
func (r *reservations) unmap(b []byte) {
	if r.munmap(b) != nil {
		r.keep(b)
	}
}

// keep takes a range that the system has refused: a hole in the middle of a mapping
// makes two of it, and their number is limited (vm.max_map_count). Its pages go
// back, and the range is for the next memory of that size. It has no image.
func (r *reservations) keep(b []byte) {
	if unix.Madvise(b, unix.MADV_DONTNEED) != nil { // what it held must not be seen again
		clear(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[len(b)] = append(r.kept[len(b)], b)
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || m.size > 0 && size > m.size && m.short != nil && m.short.Load() {
		m.refused(size)
		return nil
	}
	m.size = size
	return m.reserved[:size:len(m.reserved)]
}

// Free gives the range back, once.
func (m *linearMemory) Free() {
	if m.reserved == nil {
		return
	}
	if m.from.munmap(m.reserved) != nil && unput(m) {
		m.from.keep(m.reserved)
	}
	m.reserved = nil
	m.from.mu.Lock()
	defer m.from.mu.Unlock()
	m.from.live--
}
