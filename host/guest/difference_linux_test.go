package guest

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// FuzzDifference: a memory that was written anywhere is its origin after a reset, and
// what it was after apply, in any other memory that is the origin's.
func FuzzDifference(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, []byte("written here and there, \x00\xff\x01\x02"), uint32(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, text []byte, zero uint32) {
		r := rand.New(rand.NewPCG(seed, 1))
		was, now := make([]byte, 4*wasmPage), make([]byte, 6*wasmPage) // it grew
		for n := range 16 {
			if zero>>n&1 == 0 {
				for at := n * 4 * granule; at < (n+1)*4*granule; at++ {
					was[at] = byte(r.Uint32() >> r.IntN(32))
				}
			}
		}
		im, err := imageOfParts(nonZero(was))
		if err != nil {
			t.Fatal(err)
		}
		defer im.close()
		o := &origin{image: im}
		other := append(bytes.Clone(was), make([]byte, 2*wasmPage)...)
		copy(now, was)
		for len(text) > 0 {
			n := copy(now[r.IntN(len(now)):], text[:1+r.IntN(len(text))])
			text = text[n:]
		}
		want := bytes.Clone(now)
		half := r.IntN(len(now)/granule) * granule
		runs := o.reset(now, []span{{0, half}, {half, len(now)}}, nil, true)
		if !bytes.Equal(now, other) {
			t.Error("after the reset it is not the origin")
		}
		if apply(other, runs); !bytes.Equal(other, want) {
			t.Error("it comes back as something else")
		}
		o.reset(other, []span{{0, len(other)}}, nil, false)
		if !bytes.Equal(other, now) {
			t.Error("without keeping, the reset does something else")
		}
	})
}
