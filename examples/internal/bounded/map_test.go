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

// looked is a value that counts how often its end is asked for.
type looked struct {
	value
	looks *int
}

func (v looked) End() int64 {
	*v.looks++
	return v.end
}

// A full map refuses without a search, however much it has: thousands of
// requests come in one callback.
func TestFullLooksAtFew(t *testing.T) {
	const entries, tries = 3000, 1000
	looks := 0
	m := Map[looked]{Limit: entries * (Overhead + 9), Now: func() int64 { return 1 }}
	for i := range entries {
		m.Put(strconv.AppendInt([]byte("k"), int64(10000+i), 10), looked{value{3, int64(i % 2 * (i + 2))}, &looks})
	}
	looks = 0
	for range tries {
		if m.Fits([]byte("another"), 3) {
			t.Fatal("found room")
		}
	}
	if looks > 3*tries {
		t.Errorf("found %d looks at entries in %d tries", looks, tries)
	}
}

// What has expired makes room, whichever it is among how many.
func TestExpiredMakesRoom(t *testing.T) {
	const entries = 3000
	now := int64(1)
	m := Map[value]{Limit: entries * (Overhead + 9), Now: func() int64 { return now }}
	key := func(i int) []byte { return strconv.AppendInt([]byte("k"), int64(10000+i), 10) }
	for i := range entries {
		m.Put(key(i), value{3, 100})
	}
	m.Put(key(7), value{3, 10})   // earlier
	m.Put(key(8), value{3, 2})    // earlier,
	m.Put(key(8), value{3, 0})    // and then never
	m.Put(key(9), value{3, 1000}) // later
	m.Delete(key(10))
	m.Put(key(10), value{3, 100})
	for _, step := range []struct {
		now  int64
		room int // entries
	}{{9, 0}, {10, 1}, {99, 1}, {100, entries - 2}, {999, entries - 2}, {1000, entries - 1}} {
		now = step.now
		if m.Room((step.room + 1) * (Overhead + 9)) {
			t.Errorf("at %d: found room for more than %d", now, step.room)
		}
		if !m.Room(step.room * (Overhead + 9)) {
			t.Errorf("at %d: found no room for %d", now, step.room)
		}
	}
	if _, ok := m.Get(key(8)); m.Len() != 1 || !ok {
		t.Errorf("found %d left, and the one without an end among them %t", m.Len(), ok)
	}
}
