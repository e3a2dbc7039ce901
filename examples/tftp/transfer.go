package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
)

const tries = 5 // of a message that is not answered

var (
	errSilent = errors.New("the client does not answer")
	errEnded  = errors.New("the client gave up")
)

// transfer is one, with a socket of its own.
type transfer struct {
	request
	conn net.PacketConn
	peer net.Addr
	in   [32 << 10]byte
}

// netascii has a line end with CR LF, and a lone CR with 0 behind it (RFC 764).
var netascii = [][2][]byte{{[]byte("\r"), []byte("\r\x00")}, {[]byte("\n"), []byte("\r\n")}}

// send has the client read a file.
func (t *transfer) send(store *files.Store) error {
	f, err := store.Get(t.name)
	if err != nil {
		return err
	}
	rest := f.Data
	if t.text {
		for _, r := range netascii {
			rest = bytes.ReplaceAll(rest, r[0], r[1])
		}
	}
	if t.tell {
		t.accept = append(t.accept, "tsize", strconv.Itoa(len(rest)))
	}
	if len(t.accept) > 0 {
		if _, err := t.ask(confirmed(t.accept), opAck, 0); err != nil {
			return err
		}
	}
	for n := uint16(1); ; n++ { // and after 65535 0, as everybody does
		block := rest[:min(len(rest), t.block)]
		rest = rest[len(block):]
		if _, err := t.ask(numbered(opData, n, block), opAck, n); err != nil {
			return err
		}
		if len(block) < t.block {
			return nil
		}
	}
}

// receive has the client write a file.
func (t *transfer) receive(store *files.Store) error {
	room := store.Room(t.name)
	if t.size > room {
		return files.ErrFull
	}
	next := numbered(opAck, 0, nil)
	if len(t.accept) > 0 {
		next = confirmed(t.accept)
	}
	var data []byte
	for n := uint16(1); ; n++ {
		block, err := t.ask(next, opData, n)
		if err != nil {
			return err
		}
		if data = append(data, block...); len(data) > room {
			return files.ErrFull
		}
		next = numbered(opAck, n, nil)
		if len(block) < t.block {
			break
		}
	}
	if t.text {
		for i := len(netascii) - 1; i >= 0; i-- {
			data = bytes.ReplaceAll(data, netascii[i][1], netascii[i][0])
		}
	}
	if err := store.Put(t.name, data, time.Now()); err != nil {
		return err
	}
	return t.last(next)
}

// last sends what is not answered, again where the client has not got it.
func (t *transfer) last(p []byte) error {
	for range tries {
		if _, err := t.conn.WriteTo(p, t.peer); err != nil {
			return err
		}
		if _, _, err := t.read(time.Now().Add(t.timeout)); err != nil {
			return nil // it is content
		}
	}
	return nil
}

// ask sends a message until its answer comes, and returns the answer's data. What answers
// another block is late, and not answered again.
func (t *transfer) ask(p []byte, want op, block uint16) ([]byte, error) {
	for range tries {
		if _, err := t.conn.WriteTo(p, t.peer); err != nil {
			return nil, err
		}
		for end := time.Now().Add(t.timeout); ; {
			o, b, err := t.read(end)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
			case err != nil:
				return nil, err
			case o == opError:
				return nil, errEnded
			case o == want && binary.BigEndian.Uint16(b) == block:
				return b[2:], nil
			default:
				continue
			}
			break
		}
	}
	return nil, errSilent
}

// read waits for a message of the client's. Others who send here are told so.
func (t *transfer) read(end time.Time) (op, []byte, error) {
	if err := t.conn.SetReadDeadline(end); err != nil {
		return 0, nil, err
	}
	for {
		n, from, err := t.conn.ReadFrom(t.in[:])
		switch {
		case err != nil:
			return 0, nil, err
		case from.String() != t.peer.String():
			if _, err := t.conn.WriteTo(failure(errTID), from); err != nil {
				return 0, nil, err
			}
		case n >= 4:
			return op(binary.BigEndian.Uint16(t.in[:])), t.in[2:n], nil
		}
	}
}
