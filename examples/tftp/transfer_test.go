package main

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
)

// wire is a socket whose peer says what a test has written down; "" is silence until the
// deadline.
type wire struct {
	net.PacketConn // nil: no other method is called
	says           []string
	sent           []string
}

const stranger = "?" // what begins with it comes from somewhere else

func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	if len(w.says) == 0 {
		return 0, nil, os.ErrDeadlineExceeded
	}
	text := w.says[0]
	w.says = w.says[1:]
	if text == "" {
		return 0, nil, os.ErrDeadlineExceeded
	}
	rest, other := strings.CutPrefix(text, stranger)
	return copy(p, rest), peerAt(other), nil
}

func (w *wire) WriteTo(p []byte, to net.Addr) (int, error) {
	mark := ""
	if to.String() != peerAt(false).String() {
		mark = stranger
	}
	w.sent = append(w.sent, mark+string(p))
	return len(p), nil
}

func (w *wire) SetReadDeadline(time.Time) error { return nil }

func peerAt(other bool) net.Addr {
	a := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}
	if other {
		a.Port = 2
	}
	return a
}

func TestTransfer(t *testing.T) {
	const ack0, ack1, ack2 = "\x00\x04\x00\x00", "\x00\x04\x00\x01", "\x00\x04\x00\x02"
	const data1, data2, wrong = "\x00\x03\x00\x0112345678", "\x00\x03\x00\x029",
		"\x00\x05\x00\x05unknown transfer ID\x00"
	for _, c := range []struct {
		name       string
		op         op
		options    []string
		says, want []string
		err        error
	}{
		{"read", opRead, nil, []string{ack1, ack2}, []string{data1, data2}, nil},
		{"read with options", opRead, []string{"blksize", "8"}, []string{ack0, ack1, ack2},
			[]string{"\x00\x06blksize\x008\x00", data1, data2}, nil},
		{"an answer is lost", opRead, nil, []string{"", ack1, "", ack2}, []string{data1, data1, data2, data2}, nil},
		{"an answer comes twice", opRead, nil, []string{ack1, ack1, ack2}, []string{data1, data2}, nil},
		{"a stranger answers", opRead, nil, []string{stranger + ack1, ack1, ack2},
			[]string{data1, stranger + wrong, data2}, nil},
		{"the client gives up", opRead, nil, []string{"\x00\x05\x00\x00no\x00"}, []string{data1}, errEnded},
		{"nobody answers", opRead, nil, nil, slices.Repeat([]string{data1}, tries), errSilent},
		{"write", opWrite, nil, []string{data1, data2}, []string{ack0, ack1, ack2}, nil},
		{"a block comes twice", opWrite, nil, []string{data1, data1, data2}, []string{ack0, ack1, ack2}, nil},
		{"the last answer is lost", opWrite, nil, []string{data1, data2, data2}, []string{ack0, ack1, ack2, ack2}, nil},
	} {
		w := &wire{says: c.says}
		store := &files.Store{Limit: 1 << 10}
		if c.op == opRead {
			if err := store.Put("f", []byte("123456789"), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		tr := &transfer{conn: w, peer: peerAt(false), request: request{
			op: c.op, name: "f", block: 8, size: -1, accept: c.options, timeout: time.Second}}
		do := tr.send
		if c.op == opWrite {
			do = tr.receive
		}
		if err := do(store); !errors.Is(err, c.err) || !slices.Equal(w.sent, c.want) {
			t.Errorf("%s: found %v, sent %q\nwanted %v, %q", c.name, err, w.sent, c.err, c.want)
		}
		if f, err := store.Get("f"); err != nil || string(f.Data) != "123456789" {
			t.Errorf("%s: found %q, %v", c.name, f.Data, err)
		}
	}
}
