package main

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// verb is a command that stores.
type verb byte

const (
	verbSet verb = iota
	verbAdd
	verbReplace
	verbAppend
	verbPrepend
	verbCas
)

// store is a command that stores, without its value.
type store struct {
	verb    verb
	quiet   bool // noreply
	flags   uint32
	expires int64 // Unix seconds; 0 is never
	cas     uint64
	key     []byte // our own
}

// Answers in memcached's words.
const (
	errFormat    = "CLIENT_ERROR bad command line format\r\n"
	errTime      = "CLIENT_ERROR invalid exptime argument\r\n"
	errMemory    = "SERVER_ERROR out of memory storing object\r\n"
	longestDelay = 30 * 24 * 60 * 60 // seconds; a larger time is a date
)

// begin makes the command for set and its like: VERB KEY FLAGS EXPTIME BYTES
// [CAS] [noreply].
func (v verb) begin(c *conn, words [][]byte) {
	flags, err1 := strconv.ParseUint(string(words[2]), 10, 32)
	exptime, err2 := strconv.ParseInt(string(words[3]), 10, 64)
	size, err3 := strconv.ParseInt(string(words[4]), 10, 32)
	s := store{verb: v, quiet: c.quiet, flags: uint32(flags)}
	var err4 error
	if v == verbCas {
		s.cas, err4 = strconv.ParseUint(string(words[5]), 10, 64)
	}
	if err := cmp.Or(err1, err2, err3, err4); err != nil || size < 0 || size > math.MaxInt32-2 {
		c.answer(errFormat)
		return
	}
	if len(words[1]) > longestKey {
		c.answer(errFormat)
		c.bulk, c.skip = int(size)+2, true
		c.SetRawMode()
		return
	}
	s.expires = c.factory.deadline(exptime)
	s.key = append(c.storing.key[:0], words[1]...)
	c.storing = s
	c.expect(size)
}

// deadline makes of an exptime Unix seconds.
func (f *factory) deadline(exptime int64) int64 {
	switch {
	case exptime == 0:
		return 0
	case exptime < 0:
		return 1 // long past
	case exptime <= longestDelay:
		return f.seconds() + exptime
	}
	return exptime
}

// store ends a command whose value has come.
func (c *conn) store(value []byte) {
	f, s := c.factory, &c.storing
	f.stats.Set++
	old, there := f.items.Get(s.key)
	next := item{value: value, flags: s.flags, expires: s.expires}
	switch s.verb {
	case verbAdd:
		there = !there
	case verbAppend, verbPrepend:
		if there {
			first, second := old.value, value
			if s.verb == verbPrepend {
				first, second = second, first
			}
			next = item{value: slices.Concat(first, second), flags: old.flags, expires: old.expires}
		}
	case verbCas:
		switch {
		case !there:
			c.answer("NOT_FOUND\r\n")
			return
		case old.cas != s.cas:
			c.answer("EXISTS\r\n")
			return
		}
	case verbSet:
		there = true
	}
	if !there {
		c.answer("NOT_STORED\r\n")
		return
	}
	c.keep(next)
}

// keep keeps an item, or answers why it can't.
func (c *conn) keep(next item) {
	f, s := c.factory, &c.storing
	switch {
	case len(next.value) > longestValue:
		c.answer("SERVER_ERROR object too large for cache\r\n")
	case !f.items.Fits(s.key, len(next.value)):
		c.answer(errMemory)
		if s.verb == verbSet {
			f.items.Delete(s.key) // what is there must not be taken for the newer value
		}
	default:
		if s.verb != verbAppend && s.verb != verbPrepend {
			next.value = slices.Clone(next.value) // it lies in the connection's buffer
		}
		f.put(s.key, next)
		f.stats.Stored++
		c.answer("STORED\r\n")
	}
}
