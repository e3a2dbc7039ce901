package transcript

import (
	"fmt"
	"slices"
)

// maxSplits is how many offsets a transcript is split at: of a longer one, as
// many, spread evenly.
const maxSplits = 1000

// cut says where what is sent is cut: before gets the number of bytes that have
// been sent.
type cut struct {
	name   string
	before func(sent int) bool
	spread bool // connections go to each loop in turn, not all to the first
}

func never(int) bool { return false }

// cuts are the ways in which a transcript is run.
func (t *Transcript) cuts() []cut {
	total := 0
	for _, s := range t.steps {
		if s.verb == verbSend {
			total += len(s.data)
		}
	}
	cuts := []cut{{name: "whole", before: never}}
	for _, at := range offsets(total) {
		cuts = append(cuts, cut{name: fmt.Sprintf("split at %d", at), before: func(n int) bool { return n == at }})
	}
	if total > 1 {
		cuts = append(cuts, cut{name: "byte by byte", before: func(int) bool { return true }})
	}
	if t.connections() > 1 {
		cuts = append(cuts, cut{name: "whole, on two event loops", before: never, spread: true})
	}
	return cuts
}

func offsets(total int) []int {
	var list []int
	for at := 1; at < total; at++ {
		list = append(list, at)
	}
	if len(list) <= maxSplits {
		return list
	}
	spread := make([]int, maxSplits)
	for n := range spread {
		spread[n] = list[n*len(list)/maxSplits]
	}
	return slices.Compact(spread)
}

// place says which loop gets the next connection.
func (s *Server) place(loops int) int {
	if !s.spread.Load() {
		return 0
	}
	return int(s.accepted.Add(1)-1) % loops
}
