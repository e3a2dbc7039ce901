package main

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// A frame's first byte (RFC 6455, section 5.2): an opcode, and whether it is the last of its message.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	last = 0x80
)

// Codes of a Close frame (section 7.4).
const (
	codeNormal   = 1000
	codeProtocol = 1002
	codeText     = 1007 // that is not UTF-8
	codeTooBig   = 1009
	codeInternal = 1011
	codeLater    = 1013
)

// fault is what a peer has done wrong, as a Close frame tells it.
type fault struct {
	code uint16
	text string
}

func protocol(text string) *fault { return &fault{codeProtocol, text} }

// sink gets what a reader finds. The bytes are valid until it returns.
type sink interface {
	// piece is a part of a message, maybe empty. The first byte is a frame's that has just this.
	piece(first byte, p []byte)
	ping(payload []byte)
	closed(payload []byte) // nothing comes behind it
}

// reader takes the bytes that a client sends apart, wherever they are cut.
type reader struct {
	Head    []byte // of a frame, and not the whole head
	Inside  bool   // a frame's payload
	First   byte   // of the frame; of a message's behind its first piece a continuation's
	Left    uint64 // bytes of the payload to come
	Key     uint32 // the mask's byte for the next one lowest
	Control []byte // payload of a control frame, up to here
	Size    uint64 // of the message, up to the end of the frame
	Message message
	Over    bool // a Close frame came
}

// take reads on, up to the first fault. It changes p. A message may have most bytes.
func (r *reader) take(p []byte, most uint64, to sink) *fault {
	for !r.Over {
		for !r.Inside && len(p) > 0 {
			r.Head, p = append(r.Head, p[0]), p[1:]
			if f := r.look(r.Head, most); f != nil {
				return f
			}
			if len(r.Head) == headSize(r.Head) {
				r.begin(r.Head)
				r.Head = r.Head[:0]
			}
		}
		if !r.Inside || len(p) == 0 && r.Left > 0 {
			return nil
		}
		n := int(min(r.Left, uint64(len(p))))
		if f := r.payload(p[:n], to); f != nil {
			return f
		}
		p = p[n:]
	}
	return nil
}

// headSize is how long a frame's head is, as far as its first bytes tell.
func headSize(b []byte) int {
	n := 2
	if len(b) < n {
		return n
	}
	switch b[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// look looks at what has come of a frame's head, whose last byte is new: a client that fails does so at
// the first byte that says so.
func (r *reader) look(b []byte, most uint64) *fault {
	opcode, isControl := b[0]&0x0f, b[0]&opClose != 0
	switch len(b) {
	case 1:
		switch {
		case b[0]&0x70 != 0:
			return protocol("found a reserved bit")
		case opcode > opPong || !isControl && opcode > opBinary:
			return protocol("found a reserved opcode")
		case isControl && b[0]&last == 0:
			return protocol("found a control frame that is a fragment")
		case !isControl && !r.Message.mayBegin(opcode):
			return protocol("found a message inside a message, or a continuation of none")
		}
		return nil
	case 2:
		switch {
		case b[1]&0x80 == 0:
			return protocol("found a frame without a mask")
		case isControl && b[1]&0x7f > 125:
			return protocol("found a control frame of more than 125 bytes")
		}
	}
	if len(b) != headSize(b)-4 || isControl { // the mask is behind the length
		return nil
	}
	size, least := length(b)
	before := r.Size
	if opcode != opContinuation {
		before = 0
	}
	switch {
	case size < least || size>>63 != 0:
		return protocol("found a length that is not written as it is to be")
	case before+size > most: // after a reload may be less than what has come
		return &fault{codeTooBig, "found a message that is too long"}
	}
	return nil
}

// length is that of a payload, by its frame's head, and the least that may be written so.
func length(b []byte) (size, least uint64) {
	switch size = uint64(b[1] & 0x7f); size {
	case 126:
		return uint64(binary.BigEndian.Uint16(b[2:])), 126
	case 127:
		return binary.BigEndian.Uint64(b[2:]), 1 << 16
	}
	return size, 0
}

// begin begins a frame, by its head.
func (r *reader) begin(b []byte) {
	opcode := b[0] & 0x0f
	size, _ := length(b)
	if opcode < opClose {
		if opcode != opContinuation {
			r.Message.Opcode, r.Size = opcode, 0
		}
		r.Size += size
	}
	r.First, r.Left, r.Inside = b[0], size, true
	r.Key = binary.LittleEndian.Uint32(b[len(b)-4:])
}

// payload passes the next bytes of a payload on.
func (r *reader) payload(p []byte, to sink) *fault {
	r.unmask(p)
	r.Left -= uint64(len(p))
	r.Inside = r.Left > 0
	if r.First&opClose == 0 {
		first := r.First
		if r.Inside {
			first &^= last
		}
		if !r.Message.take(first, p) {
			return &fault{codeText, "found text that is not UTF-8"}
		}
		to.piece(first, p)
		r.First &= last
		return nil
	}
	if r.Control = append(r.Control, p...); r.Inside {
		return nil
	}
	payload := r.Control
	r.Control = r.Control[:0]
	switch r.First &^ last {
	case opPing:
		to.ping(payload)
	case opClose:
		if f := closeFault(payload); f != nil {
			return f
		}
		r.Over = true
		to.closed(payload)
	}
	return nil
}

// unmask takes the mask off the next bytes of a payload.
func (r *reader) unmask(p []byte) {
	key, rest := uint64(r.Key)<<32|uint64(r.Key), p
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, binary.LittleEndian.Uint64(rest)^key)
	}
	for i := range rest {
		rest[i] ^= byte(key >> (8 * i))
	}
	r.Key = bits.RotateLeft32(r.Key, -8*(len(p)%4))
}

// closeFault looks at what a Close frame carries: nothing, or a code that may be sent (of RFC 6455
// and IANA's list, of libraries and of applications) and a text.
func closeFault(payload []byte) *fault {
	if len(payload) == 0 {
		return nil
	}
	code := uint16(0)
	if len(payload) > 1 {
		code = binary.BigEndian.Uint16(payload)
	}
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code > 4999:
		return protocol("found a close code that nobody may send")
	case !utf8.Valid(payload[2:]):
		return &fault{codeText, "found a close reason that is not UTF-8"}
	}
	return nil
}

// appendHead appends the head of a frame without a mask to b.
func appendHead(b []byte, first byte, size int) []byte {
	b = append(b, first)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// message is how far the messages of one direction have come.
type message struct {
	Opcode  byte   // of the one that has begun; 0: none
	Partial []byte // the beginning of a character at the end of a text
}

// mayBegin tells whether a message may begin, or go on.
func (m *message) mayBegin(opcode byte) bool { return (opcode == opContinuation) == (m.Opcode != 0) }

// begin begins a message, or goes on, and tells whether it may.
func (m *message) begin(opcode byte) bool {
	may := m.mayBegin(opcode)
	if may && m.Opcode == 0 {
		m.Opcode = opcode
	}
	return may
}

// take takes the next bytes, and tells whether they are valid.
func (m *message) take(first byte, p []byte) bool {
	ok := m.Opcode != opText || m.text(p) && (first&last == 0 || len(m.Partial) == 0)
	if first&last != 0 {
		m.Opcode = 0
	}
	return ok
}

// text tells whether a text is valid up to here, where it may end within a character.
func (m *message) text(p []byte) bool {
	for len(m.Partial) > 0 && len(p) > 0 {
		m.Partial, p = append(m.Partial, p[0]), p[1:]
		if utf8.FullRune(m.Partial) {
			if !utf8.Valid(m.Partial) {
				return false
			}
			m.Partial = m.Partial[:0]
		}
	}
	end := len(p)
	for n := end - 1; n >= max(0, end-utf8.UTFMax); n-- {
		if utf8.RuneStart(p[n]) {
			if !utf8.FullRune(p[n:]) {
				end = n
			}
			break
		}
	}
	m.Partial = append(m.Partial, p[end:]...)
	return utf8.Valid(p[:end])
}
