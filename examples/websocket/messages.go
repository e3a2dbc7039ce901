package main

import (
	"bytes"
	"encoding/binary"
)

// messages says what messages are to the plugin behind, whose connection is a stream of bytes.
type messages string

const (
	asBytes  messages = "bytes"  // no more than that; what comes back goes as binary messages, cut anywhere
	asLines  messages = "lines"  // each is a line, with "\r\n" behind it; each line that comes back is a text
	asFrames messages = "frames" // each piece is a string of Int32StringReceiver: a frame's first byte, and the piece
)

func (m messages) isOne() bool { return m == asBytes || m == asLines || m == asFrames }

// parts is what goes to the plugin behind for a piece of a message.
func (m messages) parts(first byte, p []byte) [][]byte {
	switch {
	case m == asFrames:
		return [][]byte{append(binary.BigEndian.AppendUint32(nil, uint32(len(p)+1)), first), p}
	case m == asLines && first&last != 0:
		return [][]byte{p, []byte("\r\n")}
	}
	return [][]byte{p}
}

// next is the first piece of a message in what has come back, as a frame has it, and how many bytes
// it takes there, 0 while it is not whole. ok is that one may begin so. Of text in lines it makes
// UTF-8.
func (m messages) next(b []byte, most int) (first byte, p []byte, n int, ok bool) {
	switch m {
	case asBytes:
		return last | opBinary, b, len(b), true
	case asLines:
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return 0, nil, 0, len(b) <= most
		}
		return last | opText, toText(bytes.TrimSuffix(b[:end], []byte("\r"))), end + 1, end <= most
	}
	if len(b) < 5 {
		return 0, nil, 0, true
	}
	size := uint64(binary.BigEndian.Uint32(b))
	ok = size > 0 && size <= uint64(most)+1 && b[4]&^last <= opBinary
	if !ok || uint64(len(b)) < 4+size {
		return 0, nil, 0, ok
	}
	return b[4], b[5 : 4+size], int(4 + size), true
}

func toText(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("\uFFFD")) }
