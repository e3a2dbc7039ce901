package guest

import (
	"sync"

	"github.com/wirehost/wirehost/abi"
)

// handles is a plugin's sequence of connection or timer handles, across its
// instances and versions. Any goroutine.
type handles struct {
	mu   sync.Mutex
	last int32
	live map[int32]struct{}
}

// take returns the next handle that is not live: 1 comes after the highest.
func (h *handles) take() int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live == nil {
		h.live = map[int32]struct{}{}
	}
	for {
		if h.last == abi.MaxHandle {
			h.last = 0
		}
		h.last++
		if _, taken := h.live[h.last]; !taken {
			h.live[h.last] = struct{}{}
			return h.last
		}
	}
}

// reserve takes a handle that another process has given; false says that it is live.
func (h *handles) reserve(handle int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, taken := h.live[handle]; taken {
		return false
	}
	if h.live == nil {
		h.live = map[int32]struct{}{}
	}
	h.live[handle] = struct{}{}
	return true
}

// goOn has the sequence go on behind a handle, unless it is there already.
func (h *handles) goOn(last int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last, last)
}

// latest is the handle that was given last.
func (h *handles) latest() int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *handles) free(handle int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.live, handle)
}

// taken tells whether a handle is live.
func (h *handles) taken(handle int32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, live := h.live[handle]
	return live
}

// count is the number of live handles.
func (h *handles) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.live)
}
