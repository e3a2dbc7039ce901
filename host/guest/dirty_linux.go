package guest

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the system tells of pages: include/uapi/linux/fs.h, since Linux 6.7.
const (
	pagemapScan  = 0xc0606610
	pageFile     = 1 << 2
	pagePresent  = 1 << 3
	pageSwapped  = 1 << 4
	pageZero     = 1 << 5
	scanRegions  = 64 // of one answer
	entryPresent = 1 << 63
	entrySwapped = 1 << 62
	entryFile    = 1 << 61
)

type scanArguments struct {
	size, flags, start, end, walkEnd, vector, vectorLength, maxPages uint64
	inverted, all, any, wanted                                       uint64
}

type scanRegion struct{ start, end, _ uint64 }

// pagemap is what is asked of which pages have been written.
var pagemap = sync.OnceValue(func() *pageTeller {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return &pageTeller{} // all memory is compared
	}
	return &pageTeller{file: f, fd: f.Fd()}
})

type pageTeller struct {
	file   *os.File // nil = it can't be read
	fd     uintptr
	noScan atomic.Bool // it knows no PAGEMAP_SCAN

	mu        sync.Mutex
	arguments scanArguments // here, where the system finds them: Go moves stacks
	regions   [scanRegions]scanRegion
}

// dirty appends the spans of a private mapping outside of which nothing was written
// since it was made. Any goroutine.
func dirty(memory []byte, spans []span) []span {
	t := pagemap()
	if t.file != nil && !t.noScan.Load() {
		if list, ok := t.scan(memory, spans); ok {
			return list
		}
		t.noScan.Store(true)
	}
	if t.file != nil {
		if list, ok := t.read(memory, spans); ok {
			return list
		}
	}
	return append(spans, span{0, len(memory)})
}

// scan asks with one system call.
func (t *pageTeller) scan(memory []byte, spans []span) ([]span, bool) {
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	end := base + uint64(len(memory))
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.arguments
	for start := base; start < end; {
		*a = scanArguments{size: uint64(unsafe.Sizeof(*a)), start: start, end: end,
			vector: uint64(uintptr(unsafe.Pointer(&t.regions))), vectorLength: scanRegions,
			inverted: pageFile | pageZero, all: pageFile | pageZero, any: pagePresent | pageSwapped,
			wanted: pagePresent | pageSwapped}
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, t.fd, pagemapScan, uintptr(unsafe.Pointer(a)))
		if errno != 0 {
			return spans, false
		}
		for _, r := range t.regions[:n] {
			spans = appendSpan(spans, span{int(r.start - base), int(r.end - base)})
		}
		if a.walkEnd <= start {
			return spans, false
		}
		start = a.walkEnd
	}
	return spans, true
}

// read reads an entry for each page.
func (t *pageTeller) read(memory []byte, spans []span) ([]span, bool) {
	size := os.Getpagesize()
	base := int64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	entries := make([]byte, len(memory)/size*8)
	if n, err := t.file.ReadAt(entries, base/int64(size)*8); err != nil || n != len(entries) {
		return spans, false
	}
	for at := 0; len(entries) > 0; at, entries = at+size, entries[8:] {
		e := binary.NativeEndian.Uint64(entries)
		if e&entrySwapped != 0 || e&entryPresent != 0 && e&entryFile == 0 {
			spans = appendSpan(spans, span{at, at + size})
		}
	}
	return spans, true
}

// appendSpan appends a span, to the last one where it follows.
func appendSpan(spans []span, s span) []span {
	if n := len(spans); n > 0 && spans[n-1].to == s.from {
		spans[n-1].to = s.to
		return spans
	}
	return append(spans, s)
}
