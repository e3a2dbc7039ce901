package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/wirehost/wirehost/examples/internal/bounded"
)

// longestAnswer bounds MGET's, in bytes: the server aborts a connection that
// holds much more.
const longestAnswer = 8 << 20

// command is what a name stands for. least and most count the arguments with the
// name; most 0 is no limit.
type command struct {
	least, most int
	run         func(c *conn, args [][]byte)
}

func commands() map[string]command {
	return map[string]command{
		"PING":    {1, 2, (*conn).ping},
		"ECHO":    {2, 2, func(c *conn, args [][]byte) { c.answerBulk(args[1]) }},
		"GET":     {2, 2, func(c *conn, args [][]byte) { c.value(args[1]) }},
		"SET":     {3, 0, (*conn).set},
		"DEL":     {2, 0, func(c *conn, args [][]byte) { c.count(args, c.factory.db.Delete) }},
		"EXISTS":  {2, 0, func(c *conn, args [][]byte) { c.count(args, func([]byte) {}) }},
		"INCR":    {2, 2, func(c *conn, args [][]byte) { c.add(args[1], 1) }},
		"DECR":    {2, 2, func(c *conn, args [][]byte) { c.add(args[1], -1) }},
		"MGET":    {2, 0, (*conn).mget},
		"MSET":    {3, 0, (*conn).mset},
		"EXPIRE":  {3, 3, (*conn).expire},
		"TTL":     {2, 2, (*conn).ttl},
		"COMMAND": {1, 0, (*conn).describe},
		"CONFIG":  {2, 0, (*conn).settings},
		"QUIT":    {1, 0, func(c *conn, _ [][]byte) { c.answer("+OK\r\n"); c.close() }},
		"POST":    {1, 0, (*conn).browser},
		"HOST:":   {1, 0, (*conn).browser},
	}
}

// Errors that several commands answer, in Redis's words.
const (
	errSyntax = "-ERR syntax error\r\n"
	errNumber = "-ERR value is not an integer or out of range\r\n"
	errMemory = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
)

// call looks a command up and calls it.
func (c *conn) call(args [][]byte) {
	var upper [16]byte
	name := args[0]
	if len(name) <= len(upper) {
		name = upper[:copy(upper[:], name)]
		for i, b := range name {
			if b >= 'a' && b <= 'z' {
				name[i] = b - 'a' + 'A'
			}
		}
	}
	cmd, ok := c.factory.commands[string(name)]
	switch {
	case !ok:
		c.unknown(args)
	case len(args) < cmd.least, cmd.most > 0 && len(args) > cmd.most:
		c.arity(args)
	default:
		cmd.run(c, args)
	}
}

// unknown answers in Redis's words, with the beginning of what was said.
func (c *conn) unknown(args [][]byte) {
	const most = 128 // bytes of the name, and of the arguments
	b := fmt.Appendf(nil, "-ERR unknown command '%s', with args beginning with: ", args[0][:min(len(args[0]), most)])
	end := len(b) + most
	for _, arg := range args[1:] {
		if len(b) >= end {
			break
		}
		b = fmt.Appendf(b, "'%s' ", arg[:min(len(arg), end-len(b))])
	}
	for i, x := range b {
		if x == '\r' || x == '\n' { // they would end the error
			b[i] = ' '
		}
	}
	c.answerBytes(append(b, "\r\n"...))
}

// browser closes what a browser has opened, which a page may have told to send
// commands in the body of a request. So does Redis.
func (c *conn) browser([][]byte) { c.close() }

func (c *conn) arity(args [][]byte) {
	c.answer("-ERR wrong number of arguments for '" + string(bytes.ToLower(args[0])) + "' command\r\n")
}

func (c *conn) ping(args [][]byte) {
	if len(args) == 2 {
		c.answerBulk(args[1])
		return
	}
	c.answer("+PONG\r\n")
}

// value answers a key's value, or null.
func (c *conn) value(key []byte) {
	if e, ok := c.factory.db.Get(key); ok {
		c.answerBulk(e.value)
		return
	}
	c.answer("$-1\r\n")
}

// set is SET key value [EX seconds | PX milliseconds] [NX | XX].
func (c *conn) set(args [][]byte) {
	key, value, db := args[1], args[2], &c.factory.db
	var nx, xx, seconds bool
	var life []byte // EX's or PX's
	for rest := args[3:]; len(rest) > 0; rest = rest[1:] {
		option := string(bytes.ToUpper(rest[0]))
		switch {
		case option == "NX" && !xx:
			nx = true
		case option == "XX" && !nx:
			xx = true
		case (option == "EX" || option == "PX") && len(rest) > 1 && (life == nil || seconds == (option == "EX")):
			life, seconds, rest = rest[1], option == "EX", rest[1:]
		default:
			c.answer(errSyntax)
			return
		}
	}
	var expires int64
	if life != nil {
		var ok bool
		if expires, ok = c.deadline(life, seconds, "set"); !ok {
			return
		}
		if expires <= db.Now() {
			c.answer("-ERR invalid expire time in 'set' command\r\n")
			return
		}
	}
	if _, there := db.Get(key); nx && there || xx && !there {
		c.answer("$-1\r\n")
		return
	}
	if !db.Fits(key, len(value)) {
		c.answer(errMemory)
		return
	}
	db.Put(key, entry{slices.Clone(value), expires})
	c.answer("+OK\r\n")
}

// deadline reads a time from now, and answers what is wrong with it. It may be
// in the past.
func (c *conn) deadline(text []byte, seconds bool, name string) (at int64, ok bool) {
	n, ok := number(text)
	if !ok {
		c.answer(errNumber)
		return 0, false
	}
	unit, now := int64(1), c.factory.db.Now()
	if seconds {
		unit = 1000
	}
	if n > (math.MaxInt64-now)/unit || n < -math.MaxInt64/unit {
		c.answer("-ERR invalid expire time in '" + name + "' command\r\n")
		return 0, false
	}
	return now + n*unit, true
}

// count answers how many keys are there, and does something with each.
func (c *conn) count(args [][]byte, do func(key []byte)) {
	n := int64(0)
	for _, key := range args[1:] {
		if _, ok := c.factory.db.Get(key); ok {
			do(key)
			n++
		}
	}
	c.answerInt(n)
}

// add is INCR and DECR. A key that is not there counts as 0.
func (c *conn) add(key []byte, by int64) {
	db := &c.factory.db
	e, ok := db.Get(key)
	n := int64(0)
	if ok {
		if n, ok = number(e.value); !ok {
			c.answer(errNumber)
			return
		}
	}
	if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
		c.answer("-ERR increment or decrement would overflow\r\n")
		return
	}
	value := strconv.AppendInt(nil, n+by, 10)
	if !db.Fits(key, len(value)) {
		c.answer(errMemory)
		return
	}
	db.Put(key, entry{value, e.expires})
	c.answerInt(n + by)
}

func (c *conn) mget(args [][]byte) {
	total := 0
	for _, key := range args[1:] {
		if e, ok := c.factory.db.Get(key); ok {
			total += len(e.value)
		}
	}
	if total > longestAnswer {
		c.answer(fmt.Sprintf("-ERR found an answer of %d bytes, wanted at most %d\r\n", total, longestAnswer))
		return
	}
	c.header('*', int64(len(args)-1))
	for _, key := range args[1:] {
		c.value(key)
	}
}

// mset sets all, or none where there is no room.
func (c *conn) mset(args [][]byte) {
	if len(args)%2 == 0 {
		c.arity(args)
		return
	}
	need := len(args) / 2 * bounded.Overhead
	for _, arg := range args[1:] {
		need += len(arg)
	}
	if !c.factory.db.Room(need) {
		c.answer(errMemory)
		return
	}
	for pair := args[1:]; len(pair) > 0; pair = pair[2:] {
		c.factory.db.Put(pair[0], entry{value: slices.Clone(pair[1])})
	}
	c.answer("+OK\r\n")
}

// expire is EXPIRE key seconds. A time that is past deletes.
func (c *conn) expire(args [][]byte) {
	db := &c.factory.db
	at, ok := c.deadline(args[2], true, "expire")
	if !ok {
		return
	}
	e, there := db.Get(args[1])
	switch {
	case !there:
		c.answerInt(0)
		return
	case at <= db.Now():
		db.Delete(args[1])
	default:
		e.expires = at
		db.Put(args[1], e)
	}
	c.answerInt(1)
}

// ttl answers seconds, -1 without an end, -2 without the key.
func (c *conn) ttl(args [][]byte) {
	e, there := c.factory.db.Get(args[1])
	switch {
	case !there:
		c.answerInt(-2)
	case e.expires == 0:
		c.answerInt(-1)
	default:
		c.answerInt((e.expires - c.factory.db.Now() + 500) / 1000)
	}
}

// describe is COMMAND, which redis-cli asks for what it can complete: nothing.
func (c *conn) describe(args [][]byte) {
	if len(args) == 2 && bytes.EqualFold(args[1], []byte("COUNT")) {
		c.answerInt(int64(len(c.factory.commands)))
		return
	}
	c.answer("*0\r\n")
}

// settings is CONFIG GET name, which redis-benchmark asks: each is empty.
func (c *conn) settings(args [][]byte) {
	if len(args) != 3 || !bytes.EqualFold(args[1], []byte("GET")) {
		c.answer("-ERR CONFIG has GET alone here\r\n")
		return
	}
	c.header('*', 2)
	c.answerBulk(args[2])
	c.answerBulk(nil)
}
