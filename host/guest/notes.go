package guest

import (
	"sync"
	"time"
)

// Lines of the server's own that a guest can cause as often as it likes.
const (
	trapNote   = "guest trapped; its instance is discarded"
	growthNote = "linear memory may not grow: over limits.memory"
	shortNote  = "linear memory may not grow: the process is short of memory"
	endedNote  = "an instance was ended: the process is out of memory"
	panicNote  = "panic in a start"
	closeNote  = "closing an instance"
)

// notesPerSecond is how many lines of one kind one account has in a second.
const notesPerSecond = 10

// notes bound the lines about guests that these, or their clients, can cause.
// Those past notesPerSecond of a kind are counted, and the count is told with the
// next one, or by itself. Any goroutine.
type notes struct {
	mu    sync.Mutex
	kinds map[string]*note // by message
}

type note struct {
	since time.Duration
	left  int
	cut   int
}

// take asks for a line. before are its fields about those that were cut before it.
func (n *notes) take(now time.Duration, message string) (ok bool, before []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.kinds[message]
	if k == nil {
		if n.kinds == nil {
			n.kinds = map[string]*note{}
		}
		k = &note{since: now, left: notesPerSecond}
		n.kinds[message] = k
	}
	if now-k.since >= time.Second {
		k.since, k.left = now, notesPerSecond
	}
	if k.left == 0 {
		k.cut++
		return false, nil
	}
	k.left--
	if k.cut > 0 {
		before = []any{"cut_before", k.cut}
		k.cut = 0
	}
	return true, before
}

// untold is how many lines were cut, by message, in a second that is over; at the
// end, all.
func (n *notes) untold(now time.Duration, end bool) map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list map[string]int
	for message, k := range n.kinds {
		if k.cut > 0 && (end || now-k.since >= time.Second) {
			if list == nil {
				list = map[string]int{}
			}
			list[message] = k.cut
			k.cut = 0
		}
	}
	return list
}
