package reactor

import (
	"hash/maphash"
	"net/netip"
)

// sources remember one value each of the peers that datagrams came from, of the last ones
// if there are many: anybody may send in anybody's name, so a table that grows is none.
// Where a set is full, the entry with the lowest stamp makes room.
type sources struct {
	seed maphash.Seed
	sets []sourceSet // 1<<sourceBits of them; made when first needed
}

const (
	sourceBits = 11
	sourceWays = 8
)

type sourceSet [sourceWays]source

type source struct {
	key   sourceKey // the zero value: free
	stamp int64
	value int64
}

// sourceKey is a peer.
type sourceKey struct {
	addr [16]byte
	zone uint32
	port uint16
	is   uint16 // 1
}

func keyOf(a netip.Addr, zone uint32, port uint16) sourceKey {
	return sourceKey{a.As16(), zone, port, 1}
}

// find is k's place, where it has one; else nil or, to fill it, the one that makes room.
func (t *sources) find(k sourceKey, fill bool) *source {
	if t.sets == nil {
		if !fill {
			return nil
		}
		t.seed, t.sets = maphash.MakeSeed(), make([]sourceSet, 1<<sourceBits)
	}
	set := &t.sets[maphash.Comparable(t.seed, k)>>(64-sourceBits)] // nobody from outside can fill one
	oldest := &set[0]
	for i := range set {
		switch s := &set[i]; {
		case s.key == k:
			return s
		case s.stamp < oldest.stamp:
			oldest = s
		}
	}
	if !fill {
		return nil
	}
	*oldest = source{key: k}
	return oldest
}

// each calls fn with all that are remembered.
func (t *sources) each(fn func(*source)) {
	for i := range t.sets {
		for n := range t.sets[i] {
			if s := &t.sets[i][n]; s.key.is != 0 {
				fn(s)
			}
		}
	}
}
