package main

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/wirehost/wirehost/examples/internal/pace"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Limits of a request.
const (
	longestLine = 4 << 10 // bytes of an inline command
	mostArgs    = 1024    // arguments
	longestBulk = 1 << 20 // bytes of one argument
	perArg      = 16      // bytes that keeping one takes beside its own
	keptBuffer  = 4 << 10 // a larger buffer is not kept for the next request,
	keptArgs    = 64      // nor are more arguments
)

// conn is one connection. A request is an array of bulk strings,
//
//	*2\r\n$3\r\nGET\r\n$1\r\nk\r\n
//
// or a line of words. Lengths are lines; an argument is read in raw mode, into
// buf, where the arguments lie one behind the other.
type conn struct {
	wirehost.LineReceiver
	factory *factory
	pace    pace.Pace

	left     int    // arguments to come; 0 between requests
	bulk     int    // bytes to come of the present argument and its CRLF, in raw mode
	buf      []byte // arguments so far
	ends     []int  // of each in buf
	reserved int    // of factory.pending

	args [][]byte // of the request that runs: scratch
}

func (c *conn) ConnectionLost(wirehost.Reason) { c.release() }

func (c *conn) LineReceived(line []byte) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case c.left > 0:
		c.bulkHeader(line)
	case len(line) == 0:
	case line[0] == '*':
		n, ok := number(line[1:])
		if !ok || n > mostArgs {
			c.fault("invalid multibulk length")
			return
		}
		c.left = int(max(n, 0)) // *-1 and *0 are no requests, as in Redis
	default:
		words, ok := splitWords(c.args[:0], line)
		if !ok {
			c.fault("unbalanced quotes in request")
			return
		}
		c.run(words)
	}
}

// LineLengthExceeded says what Redis says.
func (c *conn) LineLengthExceeded(held []byte) {
	switch {
	case c.left > 0:
		c.fault("too big bulk count string")
	case held[0] == '*':
		c.fault("too big mbulk count string")
	default:
		c.fault("too big inline request")
	}
}

// bulkHeader reads $N and goes to raw mode for N bytes and their CRLF.
func (c *conn) bulkHeader(line []byte) {
	if len(line) == 0 || line[0] != '$' {
		found := " " // for a line that is empty
		if len(line) > 0 {
			found = string(line[:1])
		}
		c.fault("expected '$', got '" + found + "'")
		return
	}
	size, ok := number(line[1:])
	if !ok || size < 0 || size > longestBulk {
		c.fault("invalid bulk length")
		return
	}
	n := int(size)
	if !c.reserve(n + 2 + perArg) {
		c.answer("-OOM too much is being received at a time\r\n")
		c.close()
		return
	}
	c.bulk = n + 2
	c.buf = slices.Grow(c.buf, c.bulk)
	c.SetRawMode()
}

func (c *conn) RawDataReceived(data []byte) {
	n := min(len(data), c.bulk)
	c.buf = append(c.buf, data[:n]...)
	if c.bulk -= n; c.bulk > 0 {
		return
	}
	c.SetLineMode(data[n:])
	value, ok := bytes.CutSuffix(c.buf, []byte("\r\n"))
	if !ok {
		c.fault("expected CRLF behind a bulk string")
		return
	}
	c.buf = value
	c.ends = append(c.ends, len(value))
	if c.left--; c.left > 0 {
		return
	}
	args, begin := c.args[:0], 0
	for _, end := range c.ends {
		args = append(args, c.buf[begin:end:end])
		begin = end
	}
	c.run(args)
	c.release()
}

// reserve takes n bytes of what all requests in the making may have, or
// nothing.
func (c *conn) reserve(n int) bool {
	if c.factory.pending+n > c.factory.MaxPending {
		return false
	}
	c.factory.pending += n
	c.reserved += n
	return true
}

// release ends a request.
func (c *conn) release() {
	c.factory.pending -= c.reserved
	c.left, c.bulk, c.reserved = 0, 0, 0
	c.buf, c.ends = c.buf[:0], c.ends[:0]
	if cap(c.buf) > keptBuffer {
		c.buf = nil
	}
}

// run runs a request and keeps pace with the peer.
func (c *conn) run(args [][]byte) {
	c.args = args
	if len(args) == 0 {
		return
	}
	c.call(args)
	if clear(c.args); cap(c.args) > keptArgs {
		c.args = nil
	}
	c.pace.Answered()
}

// fault answers what is not RESP, and closes.
func (c *conn) fault(what string) {
	c.answer("-ERR Protocol error: " + what + "\r\n")
	c.close()
}

// close closes. Where that fails the connection is lost already.
func (c *conn) close() { _ = c.Transport.LoseConnection() }

// answer writes a part of an answer.
func (c *conn) answer(text string) { c.pace.WriteString(text) }

func (c *conn) answerBytes(b []byte) { c.pace.Write(b) }

func (c *conn) answerInt(n int64) { c.header(':', n) }

// answerBulk writes a bulk string.
func (c *conn) answerBulk(b []byte) {
	c.header('$', int64(len(b)))
	c.answerBytes(b)
	c.answer("\r\n")
}

// header writes a type and a number.
func (c *conn) header(kind byte, n int64) {
	var b [24]byte
	c.answerBytes(append(strconv.AppendInt(append(b[:0], kind), n, 10), '\r', '\n'))
}
