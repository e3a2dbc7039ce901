package bounded

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

type value struct {
	size int
	end  int64
}

func (v value) Size() int  { return v.size }
func (v value) End() int64 { return v.end }

func TestLimit(t *testing.T) {
	now := int64(1)
	m := Map[value]{Limit: 3 * (Overhead + 11), Now: func() int64 { return now }}
	put := func(key string, v value, fits bool) {
		t.Helper()
		if found := m.Fits([]byte(key), v.size); found != fits {
			t.Errorf("%s of %d bytes beside %d: found fits %t, wanted %t", key, v.size, m.Bytes(), found, fits)
		}
		if fits {
			m.Put([]byte(key), v)
		}
	}
	put("a", value{10, 0}, true)
	put("b", value{10, 5}, true)
	put("c", value{11, 0}, false)
	put("c", value{10, 0}, true)
	put("d", value{0, 0}, false)
	put("a", value{10, 0}, true) // in its own place
	put("a", value{11, 0}, false)
	now = 5
	put("d", value{10, 0}, true)
	if _, ok := m.Get([]byte("b")); ok {
		t.Error("b is there still")
	}
}

// The size is that of what is there, whatever was done.
func TestBytes(t *testing.T) {
	now := int64(1)
	m := Map[value]{Limit: 5000, Now: func() int64 { return now }}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		key := []byte(strconv.Itoa(r.IntN(50)))
		switch now++; r.IntN(4) {
		case 0:
			m.Delete(key)
		case 1:
			m.Get(key)
		default:
			if v := (value{r.IntN(300), now + r.Int64N(200)}); m.Fits(key, v.size) {
				m.Put(key, v)
			}
		}
		sum, count := 0, 0
		for k, v := range m.All() {
			sum += len(k) + v.size + Overhead
			count++
		}
		if sum != m.Bytes() || sum > m.Limit || count != m.Len() {
			t.Fatalf("found %d bytes in %d entries, counted %d in %d", m.Bytes(), m.Len(), sum, count)
		}
	}
	if m.Clear(); m.Len() != 0 || m.Bytes() != 0 {
		t.Error("not clear")
	}
}
