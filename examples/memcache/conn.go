package main

import (
	"bytes"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/pace"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Limits of a request, in bytes.
const (
	longestLine  = 16 << 10
	longestKey   = 250
	longestValue = 1 << 20
	keptBuffer   = 4 << 10 // a larger buffer is not kept for the next value,
	keptWords    = 64      // nor are more words
)

// conn is one connection. A command is a line of words; those that store have a
// value behind it, which is read in raw mode:
//
//	set KEY FLAGS EXPTIME BYTES\r\n
//	VALUE\r\n
type conn struct {
	wirehost.LineReceiver
	factory *factory
	pace    pace.Pace

	storing  store  // the command whose value comes, where bulk > 0
	bulk     int    // bytes to come of the value and its CRLF, in raw mode
	skip     bool   // the value is to be dropped
	value    []byte // so far
	reserved int    // of factory.pending

	words [][]byte // of the line: scratch
	quiet bool     // noreply: the command's answer is dropped
}

func (c *conn) ConnectionMade() {
	c.factory.stats.Connections++
	c.factory.stats.Total++
}

func (c *conn) ConnectionLost(wirehost.Reason) {
	c.factory.stats.Connections--
	c.release()
}

func (c *conn) LineReceived(line []byte) {
	c.factory.due()
	c.words = appendWords(c.words[:0], bytes.TrimSuffix(line, []byte("\r")))
	c.quiet = false
	c.call(c.words)
	if clear(c.words); cap(c.words) > keptWords {
		c.words = nil
	}
	c.pace.Answered()
}

// appendWords splits at spaces alone: what else a key may have is its own
// affair.
func appendWords(words [][]byte, line []byte) [][]byte {
	for len(line) > 0 {
		word, rest, _ := bytes.Cut(line, []byte(" "))
		if len(word) > 0 {
			words = append(words, word)
		}
		line = rest
	}
	return words
}

// LineLengthExceeded says what memcached says.
func (c *conn) LineLengthExceeded([]byte) {
	c.quiet = false
	c.answer("CLIENT_ERROR line too long\r\n")
	c.close()
}

// expect goes to raw mode for a value of size bytes and its CRLF. A value that
// can't be kept is read all the same, and dropped.
func (c *conn) expect(size int64) {
	c.bulk = int(size) + len("\r\n")
	c.skip = !c.reserve(size)
	if !c.skip {
		c.value = slices.Grow(c.value, c.bulk)
	}
	c.SetRawMode()
}

// reserve makes room for a value to come, or answers why there is none. What was
// under its key must not be taken for the newer value then.
func (c *conn) reserve(size int64) bool {
	f := c.factory
	switch {
	case size > longestValue:
		c.answer("SERVER_ERROR object too large for cache\r\n")
	case f.pending+c.bulk > f.MaxPending:
		c.answer(errMemory)
	default:
		f.pending += c.bulk
		c.reserved = c.bulk
		return true
	}
	if c.storing.verb == verbSet {
		f.items.Delete(c.storing.key)
	}
	return false
}

func (c *conn) RawDataReceived(data []byte) {
	n := min(len(data), c.bulk)
	if !c.skip {
		c.value = append(c.value, data[:n]...)
	}
	if c.bulk -= n; c.bulk > 0 {
		return
	}
	c.SetLineMode(data[n:])
	if c.skip {
		c.skip = false
		return
	}
	c.factory.due()
	c.quiet = c.storing.quiet
	if value, ok := bytes.CutSuffix(c.value, []byte("\r\n")); ok {
		c.store(value)
	} else {
		c.answer("CLIENT_ERROR bad data chunk\r\n")
	}
	c.release()
	c.pace.Answered()
}

// release gives back what was reserved.
func (c *conn) release() {
	c.factory.pending -= c.reserved
	c.reserved, c.value = 0, c.value[:0]
	if cap(c.value) > keptBuffer {
		c.value = nil
	}
}

// close closes. Where that fails the connection is lost already.
func (c *conn) close() { _ = c.Transport.LoseConnection() }

// answer writes a part of an answer.
func (c *conn) answer(text string) {
	if !c.quiet {
		c.pace.WriteString(text)
	}
}

func (c *conn) answerBytes(b []byte) {
	if !c.quiet {
		c.pace.Write(b)
	}
}
