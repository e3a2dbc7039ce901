package admin

import (
	"cmp"
	"slices"

	"github.com/google/pprof/profile"
)

// How much of a profile its tree has at most. What is left out counts in what called it.
const (
	maxFrames = 2000
	maxDepth  = 100
)

// profileTree is a profile as nested boxes are drawn from.
type profileTree struct {
	Unit string `json:"unit"` // of the frames' numbers
	Root *frame `json:"root"`
}

// frame is a function, as it was called by those above it.
type frame struct {
	Name     string   `json:"name"`
	Self     int64    `json:"self"`
	Total    int64    `json:"total"` // with what it called
	Children []*frame `json:"children,omitempty"`
}

// folding has the frames that others called, by name.
type folding map[*frame]map[string]*frame

// child is what a frame called.
func (by folding) child(f *frame, name string) *frame {
	c := by[f][name]
	if c == nil {
		if by[f] == nil {
			by[f] = map[string]*frame{}
		}
		c = &frame{Name: name}
		by[f][name], f.Children = c, append(f.Children, c)
	}
	return c
}

// treeOf folds a profile: the samples of the same calls are one. Its last kind of value counts.
func treeOf(p *profile.Profile) profileTree {
	t, by := profileTree{Root: &frame{Name: "all"}}, folding{}
	kind := len(p.SampleType) - 1
	if kind < 0 {
		return t
	}
	t.Unit = p.SampleType[kind].Unit
	for _, s := range p.Sample {
		if kind >= len(s.Value) {
			continue
		}
		at, depth := t.Root, 0
		at.Total += s.Value[kind]
		for _, l := range slices.Backward(s.Location) { // the first one is the innermost
			for _, line := range slices.Backward(l.Line) {
				if depth++; depth > maxDepth || line.Function == nil {
					continue
				}
				at = by.child(at, short(line.Function.Name))
				at.Total += s.Value[kind]
			}
		}
		at.Self += s.Value[kind]
	}
	prune(t.Root)
	return t
}

// prune keeps the frames with the most time, level by level, and sorts them.
func prune(root *frame) {
	left := maxFrames
	for level := []*frame{root}; len(level) > 0; {
		var next []*frame
		for _, f := range level {
			slices.SortFunc(f.Children, func(a, b *frame) int {
				return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name))
			})
			f.Children = first(f.Children, left)
			left -= len(f.Children)
			next = append(next, f.Children...)
		}
		level = next
	}
}
