package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/state"
)

// stateVersion numbers the layout of what the factory and the connections save.
const stateVersion = 1

func (f *factory) StateVersion() int32 { return stateVersion }

// SaveState has the numbers, then all items.
func (f *factory) SaveState() ([]byte, bool) {
	numbers, err := json.Marshal(f.stats)
	if err != nil {
		return nil, false
	}
	b := make([]byte, 0, f.items.Bytes()+len(numbers)+64)
	b = state.AppendBytes(b, numbers)
	b = binary.AppendUvarint(b, f.serial)
	b = binary.AppendVarint(b, f.flushAt)
	b = binary.AppendVarint(b, f.started)
	for key, i := range f.items.All() {
		b = state.AppendBytes(b, key)
		b = state.AppendBytes(b, i.value)
		b = binary.AppendUvarint(b, uint64(i.flags))
		b = binary.AppendVarint(b, i.expires)
		b = binary.AppendUvarint(b, i.cas)
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
	numbers := r.Bytes()
	f.serial, f.flushAt, f.started = r.Uint(), r.Int(), r.Int()
	for r.Err == nil && len(r.Rest) > 0 {
		key := r.Bytes()
		i := item{value: slices.Clone(r.Bytes()), flags: uint32(r.Uint()), expires: r.Int(), cas: r.Uint()}
		if r.Err == nil && f.items.Fits(key, len(i.value)) {
			f.items.Put(key, i)
		}
	}
	if r.Err != nil {
		return r.Err
	}
	if err := json.Unmarshal(numbers, &f.stats); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	return nil
}

// SaveState has the command whose value has arrived in part.
func (c *conn) SaveState() ([]byte, bool) {
	b := c.AppendState(nil)
	skip, quiet := byte(0), byte(0)
	if c.skip {
		skip = 1
	}
	if c.storing.quiet {
		quiet = 1
	}
	b = append(b, byte(c.storing.verb), quiet, skip)
	b = binary.AppendUvarint(b, uint64(c.bulk))
	b = binary.AppendUvarint(b, uint64(c.storing.flags))
	b = binary.AppendVarint(b, c.storing.expires)
	b = binary.AppendUvarint(b, c.storing.cas)
	b = state.AppendBytes(b, c.storing.key)
	return state.AppendBytes(b, c.value), true
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
	if len(rest) < 3 {
		return state.ErrShort
	}
	r := state.Reader{Rest: rest[3:]}
	c.storing.verb, c.storing.quiet, c.skip = verb(rest[0]), rest[1] != 0, rest[2] != 0
	bulk := r.Uint()
	c.storing.flags, c.storing.expires, c.storing.cas = uint32(r.Uint()), r.Int(), r.Uint()
	c.storing.key, c.value = slices.Clone(r.Bytes()), slices.Clone(r.Bytes())
	if r.Err != nil {
		return r.Err
	}
	if c.storing.verb > verbCas || len(c.storing.key) > longestKey || c.RawMode() != (bulk > 0) ||
		bulk > 1<<31 || !c.skip && uint64(len(c.value))+bulk > longestValue+2 {
		return fmt.Errorf("found command %d with a key of %d bytes and a value of %d, %d to come, raw mode %t, "+
			"which do not go together",
			c.storing.verb, len(c.storing.key), len(c.value), bulk, c.RawMode())
	}
	if c.bulk = int(bulk); !c.skip {
		c.value = slices.Grow(c.value, c.bulk)
		// It was there before, so it is never refused.
		c.reserved = len(c.value) + c.bulk
		c.factory.pending += c.reserved
	}
	return c.pace.Restore()
}
