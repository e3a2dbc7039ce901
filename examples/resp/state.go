package main

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/state"
)

// stateVersion numbers the layout of what the factory and the connections save.
const stateVersion = 1

func (f *factory) StateVersion() int32 { return stateVersion }

// SaveState has all entries: expiry, key, value.
func (f *factory) SaveState() ([]byte, bool) {
	b := make([]byte, 0, f.db.Bytes())
	for key, e := range f.db.All() {
		b = binary.AppendVarint(b, e.expires)
		b = state.AppendBytes(b, key)
		b = state.AppendBytes(b, e.value)
	}
	return b, true
}

// RestoreState reads what SaveState wrote. What is more than the new version's
// max_memory is left out.
func (f *factory) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	r := state.Reader{Rest: saved}
	for r.Err == nil && len(r.Rest) > 0 {
		expires, key, value := r.Int(), r.Bytes(), r.Bytes()
		if r.Err == nil && f.db.Fits(key, len(value)) {
			f.db.Put(key, entry{slices.Clone(value), expires})
		}
	}
	return r.Err
}

// SaveState has the request that has arrived in part.
func (c *conn) SaveState() ([]byte, bool) {
	b := c.AppendState(nil)
	for _, n := range []int{c.left, c.bulk, len(c.ends)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, end := range c.ends {
		b = binary.AppendUvarint(b, uint64(end))
	}
	return state.AppendBytes(b, c.buf), true
}

// RestoreState reads what SaveState wrote.
func (c *conn) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	rest, err := c.LoadState(saved)
	if err != nil {
		return err
	}
	r := state.Reader{Rest: rest}
	left, bulk, ends := r.Count(mostArgs), r.Count(longestBulk+2), r.Count(mostArgs)
	if r.Err == nil && (left+ends > mostArgs || c.RawMode() != (bulk > 0) || left == 0 && bulk+ends > 0) {
		return fmt.Errorf("found %d arguments, %d to come, %d bytes of one, raw mode %t, which do not go together",
			ends, left, bulk, c.RawMode())
	}
	c.left, c.bulk, c.ends = left, bulk, make([]int, ends)
	last := 0
	for i := range c.ends {
		if c.ends[i] = r.Count(len(saved)); c.ends[i] < last && r.Err == nil {
			return fmt.Errorf("found arguments that end at %d behind %d", c.ends[i], last)
		}
		last = c.ends[i]
	}
	buf := r.Bytes()
	switch {
	case r.Err != nil:
		return r.Err
	case len(r.Rest) > 0, len(buf) < last:
		return fmt.Errorf("found %d bytes of arguments that end at %d, and %d more", len(buf), last, len(r.Rest))
	}
	c.buf = slices.Grow(slices.Clone(buf), c.bulk)
	// It was there before, so it is never refused.
	c.reserved = len(buf) + c.bulk + perArg*(ends+1)
	c.factory.pending += c.reserved
	return c.pace.Restore()
}
