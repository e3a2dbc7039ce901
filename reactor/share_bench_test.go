package reactor

import (
	"testing"
	"time"
)

// BenchmarkSpent is what an owner's share adds to each callback.
func BenchmarkSpent(b *testing.B) {
	r, err := New(Config{Loops: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	s := r.loops[0].NewShare()
	for b.Loop() {
		s.Spent(0)
	}
}

// BenchmarkCallLater is a delayed call of an owner that has a hundred more: made, and
// cancelled.
func BenchmarkCallLater(b *testing.B) {
	r, err := New(Config{Loops: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	s := r.loops[0].NewShare()
	for n := range 100 {
		s.CallLater(time.Duration(n)*time.Second, func() {})
	}
	for b.Loop() {
		s.CallLater(time.Minute, func() {}).Cancel()
	}
}
