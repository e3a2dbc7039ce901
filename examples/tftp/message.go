package main

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
)

// op is what kind of message one is (RFC 1350, section 5; RFC 2347).
type op uint16

const (
	opRead  op = 1
	opWrite op = 2
	opData  op = 3
	opAck   op = 4
	opError op = 5
	opOAck  op = 6
)

func (o op) String() string {
	if o == opRead {
		return "reading"
	}
	return "writing"
}

// fault is an error that the client is told by a number of the protocol.
type fault struct {
	code uint16
	text string
}

func (f *fault) Error() string { return f.text }

var (
	errIllegal = &fault{4, "illegal operation"}
	errTID     = &fault{5, "unknown transfer ID"}
	errOption  = &fault{8, "an option's value is out of range"}
)

// request is one to read or to write a file, with the options that are understood.
type request struct {
	op      op
	name    string
	text    bool          // netascii
	accept  []string      // options and values to be confirmed
	block   int           // bytes of a block
	timeout time.Duration // for an answer
	size    int           // of a file that is to be written; -1: not told
	tell    bool          // the client wants the size of what it reads
}

// parseRequest reads a request: op, name, mode and options, each with 0 at its end.
func parseRequest(b []byte) (q request, err error) {
	if len(b) < 3 || b[len(b)-1] != 0 {
		return q, errIllegal
	}
	q = request{op: op(binary.BigEndian.Uint16(b)), block: 512, timeout: time.Second, size: -1}
	words := strings.Split(string(b[2:len(b)-1]), "\x00")
	if q.op != opRead && q.op != opWrite || len(words) < 2 || len(words)%2 != 0 {
		return q, errIllegal
	}
	q.name = words[0]
	switch strings.ToLower(words[1]) {
	case "octet":
	case "netascii":
		q.text = true
	default:
		return q, errIllegal
	}
	for i := 2; i < len(words); i += 2 {
		if err := q.option(strings.ToLower(words[i]), words[i+1]); err != nil {
			return q, err
		}
	}
	return q, nil
}

// option takes one, unless nobody here understands it (RFC 2348, 2349).
func (q *request) option(name, value string) error {
	switch name {
	case "blksize", "timeout", "tsize":
	default:
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return errOption
	}
	switch name {
	case "blksize":
		if n < 8 || n > 65464 {
			return errOption
		}
		q.block = min(n, 16<<10)
		value = strconv.Itoa(q.block)
	case "timeout":
		if n < 1 || n > 255 {
			return errOption
		}
		q.timeout = time.Duration(n) * time.Second
	case "tsize":
		if q.op == opRead {
			q.tell = true // and told when it is known
			return nil
		}
		q.size = n
	}
	q.accept = append(q.accept, name, value)
	return nil
}

// numbered is DATA or ACK.
func numbered(o op, block uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(o))
	return append(binary.BigEndian.AppendUint16(b, block), data...)
}

// confirmed is OACK.
func confirmed(options []string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(opOAck))
	return append(b, strings.Join(options, "\x00")+"\x00"...)
}

// failure is ERROR.
func failure(err error) []byte {
	code := uint16(0)
	var f *fault
	switch {
	case errors.As(err, &f):
		code = f.code
	case errors.Is(err, files.ErrNone):
		code = 1
	case errors.Is(err, files.ErrFull):
		code = 3
	}
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(opError)), code)
	return append(append(b, err.Error()...), 0)
}
