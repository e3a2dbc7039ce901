package reactor

import "testing"

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
