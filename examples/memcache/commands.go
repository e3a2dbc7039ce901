package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// longestAnswer bounds a get's, in bytes: the server aborts a connection that
// holds much more.
const longestAnswer = 8 << 20

// command is what a name stands for. least and most count the words with the
// name. As with memcached, where noreply may stand another word may, and means
// nothing.
type command struct {
	least, most int
	noreply     bool // may be the last word
	run         func(c *conn, words [][]byte)
}

func commands() map[string]command {
	const most = longestLine
	all := map[string]command{
		"get":       {2, most, false, func(c *conn, words [][]byte) { c.get(words, false) }},
		"gets":      {2, most, false, func(c *conn, words [][]byte) { c.get(words, true) }},
		"incr":      {3, 4, true, func(c *conn, words [][]byte) { c.add(words, true) }},
		"decr":      {3, 4, true, func(c *conn, words [][]byte) { c.add(words, false) }},
		"delete":    {2, 4, true, (*conn).remove},
		"touch":     {3, 4, true, (*conn).touch},
		"flush_all": {1, 3, true, (*conn).flush},
		"stats":     {1, 1, false, (*conn).report},
		"version":   {1, 1, false, func(c *conn, _ [][]byte) { c.answer("VERSION " + version + "\r\n") }},
		"verbosity": {2, 3, true, (*conn).verbosity},
		"quit":      {1, 1, false, func(c *conn, _ [][]byte) { c.close() }},
		"cas":       {6, 7, true, verbCas.begin},
	}
	for v, name := range []string{"set", "add", "replace", "append", "prepend"} {
		all[name] = command{5, 6, true, verb(v).begin}
	}
	return all
}

// version is what clients are told. libmemcached wants a number in front.
const version = "1.0.0-wirehost"

func (c *conn) call(words [][]byte) {
	if len(words) > 0 {
		cmd := c.factory.commands[string(words[0])]
		if len(words) >= cmd.least && len(words) <= cmd.most {
			c.quiet = cmd.noreply && string(words[len(words)-1]) == "noreply"
			cmd.run(c, words)
			return
		}
	}
	c.answer("ERROR\r\n")
}

// key checks a command's key.
func (c *conn) key(key []byte) bool {
	if len(key) > longestKey {
		c.answer(errFormat)
		return false
	}
	return true
}

// get is get KEY..., and gets, which shows cas too.
func (c *conn) get(words [][]byte, cas bool) {
	f, total := c.factory, 0
	for _, key := range words[1:] {
		if !c.key(key) {
			return
		}
		i, _ := f.items.Get(key)
		total += len(i.value)
	}
	if total > longestAnswer {
		c.answer("SERVER_ERROR out of memory writing get response\r\n")
		return
	}
	var line []byte
	for _, key := range words[1:] {
		f.stats.Get++
		i, ok := f.items.Get(key)
		if !ok {
			f.stats.Misses++
			continue
		}
		f.stats.Hits++
		line = append(append(line[:0], "VALUE "...), key...)
		line = strconv.AppendUint(append(line, ' '), uint64(i.flags), 10)
		line = strconv.AppendInt(append(line, ' '), int64(len(i.value)), 10)
		if cas {
			line = strconv.AppendUint(append(line, ' '), i.cas, 10)
		}
		c.answerBytes(append(line, "\r\n"...))
		c.answerBytes(i.value)
		c.answer("\r\n")
	}
	c.answer("END\r\n")
}

// add is incr KEY N and decr KEY N: unsigned, 64 bits. incr wraps, decr ends at 0.
func (c *conn) add(words [][]byte, up bool) {
	if !c.key(words[1]) {
		return
	}
	by, err := strconv.ParseUint(string(words[2]), 10, 64)
	if err != nil {
		c.answer("CLIENT_ERROR invalid numeric delta argument\r\n")
		return
	}
	f := c.factory
	i, ok := f.items.Get(words[1])
	if !ok {
		c.answer("NOT_FOUND\r\n")
		return
	}
	n, err := strconv.ParseUint(string(i.value), 10, 64)
	if err != nil {
		c.answer("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
		return
	}
	if up {
		n += by
	} else {
		n -= min(n, by)
	}
	if i.value = strconv.AppendUint(nil, n, 10); !f.items.Fits(words[1], len(i.value)) {
		c.answer(errMemory)
		return
	}
	f.put(words[1], i)
	c.answer(string(i.value) + "\r\n")
}

// remove is delete KEY [0] [noreply]: old clients send a time.
func (c *conn) remove(words [][]byte) {
	last := len(words) - 1
	if c.quiet = c.quiet && last > 1; c.quiet { // else noreply is the key
		last--
	}
	switch {
	case last == 3, last == 2 && !bytes.Equal(words[2], []byte("0")):
		c.answer("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n")
		return
	case !c.key(words[1]):
		return
	}
	if _, ok := c.factory.items.Get(words[1]); !ok {
		c.answer("NOT_FOUND\r\n")
		return
	}
	c.factory.items.Delete(words[1])
	c.answer("DELETED\r\n")
}

// touch is touch KEY EXPTIME.
func (c *conn) touch(words [][]byte) {
	if !c.key(words[1]) {
		return
	}
	exptime, err := strconv.ParseInt(string(words[2]), 10, 64)
	if err != nil {
		c.answer(errTime)
		return
	}
	f := c.factory
	f.stats.Touch++
	i, ok := f.items.Get(words[1])
	if !ok {
		c.answer("NOT_FOUND\r\n")
		return
	}
	i.expires = f.deadline(exptime)
	f.items.Put(words[1], i) // its cas stays
	c.answer("TOUCHED\r\n")
}

// flush is flush_all [EXPTIME] [noreply].
func (c *conn) flush(words [][]byte) {
	f, exptime := c.factory, int64(0)
	if len(words) > 2 || len(words) == 2 && !c.quiet {
		var err error
		if exptime, err = strconv.ParseInt(string(words[1]), 10, 64); err != nil {
			c.answer(errTime)
			return
		}
	}
	f.stats.Flush++
	f.flushAt = 0
	if exptime > 0 {
		f.flushAt = f.deadline(exptime)
	} else {
		f.items.Clear()
	}
	c.answer("OK\r\n")
}

// verbosity is verbosity LEVEL, and has no meaning here.
func (c *conn) verbosity(words [][]byte) {
	if _, err := strconv.ParseUint(string(words[1]), 10, 32); err != nil {
		c.answer(errFormat)
		return
	}
	c.answer("OK\r\n")
}

// report is stats.
func (c *conn) report([][]byte) {
	f := c.factory
	now := f.seconds()
	for _, s := range []struct {
		name  string
		value any
	}{
		{"pid", 1}, {"uptime", max(0, now-f.started)}, {"time", now}, {"version", version}, {"pointer_size",
			strconv.IntSize},
		{"curr_connections", f.stats.Connections}, {"total_connections", f.stats.Total},
		{"cmd_get", f.stats.Get}, {"cmd_set", f.stats.Set}, {"cmd_flush", f.stats.Flush}, {"cmd_touch", f.stats.Touch},
		{"get_hits", f.stats.Hits}, {"get_misses", f.stats.Misses},
		{"bytes", f.items.Bytes()}, {"limit_maxbytes", f.MaxMemory}, {"curr_items", f.items.Len()},
		{"total_items", f.stats.Stored}, {"evictions", 0},
	} {
		c.answer(fmt.Sprintf("STAT %s %v\r\n", s.name, s.value))
	}
	c.answer("END\r\n")
}
