package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/bench/same/names"
)

// loadDatagrams keeps some datagrams on their way from each of many sockets.
func loadDatagrams(one datagramSource, conns, requests int, stdout io.Writer) error {
	errs, all := make([]error, conns), make([]datagramSource, conns)
	began := time.Now()
	var wg sync.WaitGroup
	for n := range conns {
		all[n] = one
		wg.Go(func() { errs[n] = all[n].run(requests / conns) })
	}
	wg.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var lat []time.Duration
	for _, s := range all {
		lat = append(lat, s.latencies...)
	}
	return printLatencies(lat, took, stdout)
}

// datagramSource sends as many datagrams as have come back. Those that are lost are not
// counted.
type datagramSource struct {
	addr           string
	size, inFlight int
	talk           datagramTalk
	segment        []byte // a control message; nil = each datagram is one to the system
	latencies      []time.Duration
}

// datagramTalk is what a source says.
type datagramTalk interface {
	// fill makes the nth datagram.
	fill(b []byte, n uint64)
	// answers tells whether got is the answer to sent.
	answers(sent, got []byte) bool
}

// run sends until so many have come back.
func (s *datagramSource) run(requests int) error {
	const tries = 20
	for lost := 0; len(s.latencies) < requests; {
		before := len(s.latencies)
		// Behind a loss another socket: what comes late is nobody's.
		if err := s.exchange(requests); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if lost++; len(s.latencies) > before {
			lost = 0
		}
		if lost == tries {
			return fmt.Errorf("echo: nothing came back %d times in a row", tries)
		}
	}
	return nil
}

// exchange sends from one socket until something is lost.
func (s *datagramSource) exchange(requests int) error {
	const patience = time.Second
	c, err := net.Dial("udp", s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	b := ipv4.NewPacketConn(c.(net.PacketConn))
	out, in := messages(s.inFlight, s.size), messages(s.inFlight, 2*s.size)
	wire := out
	if s.segment != nil {
		wire = []ipv4.Message{{OOB: s.segment}}
		for i := range out {
			wire[0].Buffers = append(wire[0].Buffers, out[i].Buffers...)
		}
	}
	for len(s.latencies) < requests {
		for i := range out {
			s.talk.fill(out[i].Buffers[0], uint64(i))
		}
		sent := time.Now()
		for at := 0; at < len(wire); {
			n, err := b.WriteBatch(wire[at:], 0)
			if err != nil {
				return err
			}
			at += n
		}
		if err := c.SetReadDeadline(sent.Add(patience)); err != nil {
			return err
		}
		for left := out; len(left) > 0; {
			n, err := b.ReadBatch(in[:len(left)], 0)
			if err != nil {
				return err
			}
			for _, m := range in[:n] {
				if left, err = s.behind(left, m.Buffers[0][:m.N]); err != nil {
					return err
				}
				s.latencies = append(s.latencies, time.Since(sent))
			}
		}
	}
	return nil
}

// behind is what is still to be answered. In order, as an echo's are, what was sent before
// an answered one is lost.
func (s *datagramSource) behind(sent []ipv4.Message, got []byte) ([]ipv4.Message, error) {
	for i := range sent {
		if s.talk.answers(sent[i].Buffers[0], got) {
			if _, ordered := s.talk.(echoed); !ordered {
				sent[0], sent[i] = sent[i], sent[0]
				i = 0
			}
			return sent[i+1:], nil
		}
	}
	return nil, fmt.Errorf("found an answer to nothing that was sent: %.80x", got)
}

func messages(n, size int) []ipv4.Message {
	list := make([]ipv4.Message, n)
	for i := range list {
		list[i].Buffers = [][]byte{make([]byte, size)}
	}
	return list
}

// segmentOf has the system take a datagram for several of so many bytes (udp(7)).
func segmentOf(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return b
}

// echoed is a talk of bytes that come back.
type echoed struct{}

func (echoed) fill(b []byte, n uint64)       { fill(b, n) }
func (echoed) answers(sent, got []byte) bool { return bytes.Equal(sent, got) }

// asked is a talk of questions about the names of package names.
type asked struct{}

const (
	questionHead = "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05h"
	questionTail = "\x05bench\x04test\x00\x00\x01\x00\x01"
	questionSize = len(questionHead) + 4 + len(questionTail) // bytes, of names with four digits
)

func (asked) fill(b []byte, _ uint64) {
	q := append(b[:0], questionHead...)
	binary.BigEndian.PutUint16(q, uint16(rand.N(1<<16)))
	q = strconv.AppendInt(q, int64(1000+rand.N(names.Most-1000)), 10)
	copy(q[len(q):cap(q)], questionTail)
}

// answers wants the question again, and the one address behind it.
func (asked) answers(q, a []byte) bool {
	const head = 12
	if len(a) != len(q)+16 || !bytes.Equal(q[:2], a[:2]) || a[2]&0x80 == 0 || a[3]&0x0f != 0 || a[7] != 1 ||
		!bytes.Equal(q[head:], a[head:len(q)]) {
		return false
	}
	n, err := strconv.Atoi(string(q[head+2 : head+6]))
	return err == nil && bytes.Equal(a[len(a)-4:], []byte{10, 0, byte(n >> 8), byte(n)})
}
