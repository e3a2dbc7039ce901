//go:build unix

package guest

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
	from     *Reservations
	reserved []byte
	image    int                 // so many bytes of it are a private mapping of an image
	refused  func(wanted uint64) // a growth
	size     uint64              // bytes that wazero has
	forced   bool                // it grows to what it was before, however short memory is
}

// Reservations are where linear memories come from and go to. Any goroutine.
type Reservations struct {
	// Map gets a range of addresses from the system, of so many bytes, zero; a test
	// may have it fail. While guests run, only on a loop that has them all.
	Map    func(size uint64) ([]byte, error)
	munmap func([]byte) error
	scarce func() bool // addresses are limited, and Go's own heap needs some

	short atomic.Bool // of memory
	mu    sync.Mutex
	live  int
	kept  map[int][][]byte // by size: ranges that the system did not take back
}

// addressRoom is what is left to Go's heap where addresses are limited: it takes
// them 64 MiB at a time, and ends the process where it gets none.
const addressRoom = 128 << 20

// mapLimits is what a refusal of mmap says of where to look.
const mapLimits = "raise vm.max_map_count, or the limit of the process's addresses: LimitAS, ulimit -v"

// NewReservations asks the system for ranges of addresses, that of each memory once.
func NewReservations() *Reservations {
	return &Reservations{Map: mmapAnonymous, munmap: unix.Munmap, scarce: sync.OnceValue(addressesAreScarce),
		kept: map[int][][]byte{}}
}

func mmapAnonymous(size uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

// reserve gets a range of addresses, which is zero.
func (r *Reservations) reserve(size uint64) (*linearMemory, error) {
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
func (r *Reservations) mapped(size uint64) ([]byte, error) {
	if r.scarce() {
		room, err := r.Map(addressRoom)
		if err != nil {
			return nil, fmt.Errorf("mmap of %d bytes more for the heap: %w (%s)", addressRoom, err, mapLimits)
		}
		defer r.unmap(room)
	}
	b, err := r.Map(size)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w (%s)", err, mapLimits)
	}
	return b, nil
}

// reuse is a range that was kept, or nil.
func (r *Reservations) reuse(size uint64) []byte {
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
func (r *Reservations) unmap(b []byte) {
	if r.munmap(b) != nil {
		r.keep(b)
	}
}

// keep takes a range that the system has refused: a hole in the middle of a mapping
// makes two of it, and their number is limited (vm.max_map_count). Its pages go
// back, and the range is for the next memory of that size. It has no image.
func (r *Reservations) keep(b []byte) {
	if unix.Madvise(b, unix.MADV_DONTNEED) != nil { // what it held must not be seen again
		clear(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[len(b)] = append(r.kept[len(b)], b)
}

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || m.size > 0 && size > m.size && !m.forced && m.from.short.Load() {
		m.refused(size)
		return nil
	}
	m.size = size
	return m.reserved[:size:len(m.reserved)]
}

// bytes is what wazero has.
func (m *linearMemory) bytes() []byte { return m.reserved[:m.size] }

// Free gives the range back, once.
func (m *linearMemory) Free() {
	if m.reserved == nil {
		return
	}
	if m.from.munmap(m.reserved) != nil && unput(m) == nil {
		m.from.keep(m.reserved)
	}
	m.reserved = nil
	m.from.mu.Lock()
	defer m.from.mu.Unlock()
	m.from.live--
}
