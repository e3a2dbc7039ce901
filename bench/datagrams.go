package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/reactor"
)

// datagramBuffer is what every system lets a socket have (net.core.rmem_max), in bytes.
const datagramBuffer = 200 << 10

// serveDatagrams is a server that sends datagrams back, on one processor.
func serveDatagrams(name string, stdout io.Writer) error {
	switch name {
	case "reactor":
		return reactorDatagrams(stdout)
	case "net", "epoll":
	default:
		return fmt.Errorf("serve: found %q for datagrams, wanted net, epoll or reactor", name)
	}
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	if err := c.SetReadBuffer(datagramBuffer); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening", c.LocalAddr())
	if name == "epoll" {
		return epollDatagrams(c)
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if _, err := c.WriteToUDPAddrPort(buf[:n], from); err != nil {
			return err
		}
	}
}

// datagramEcho is a DatagramProtocol that sends back what came.
type datagramEcho struct {
	s   *reactor.DatagramSocket
	buf []byte
}

func (e *datagramEcho) StartProtocol(s *reactor.DatagramSocket)         { e.s = s }
func (e *datagramEcho) StopProtocol(reason reactor.Reason, _ error)     {}
func (e *datagramEcho) ReceiveBuffer() []byte                           { return e.buf }
func (e *datagramEcho) ConnectionRefused()                              {}
func (e *datagramEcho) DatagramsReceived(records []byte, datagrams int) { e.s.Send(records, datagrams) }

func reactorDatagrams(stdout io.Writer) error {
	r, err := reactor.New(reactor.Config{Loops: 1})
	if err != nil {
		return err
	}
	var o reactor.DatagramOptions
	o.Socket.Buffer = datagramBuffer
	port, err := r.ListenDatagrams(reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"},
		func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
			return &datagramEcho{buf: make([]byte, 64<<10)}, nil
		}, o)
	if err != nil {
		return err
	}
	if err := errors.Join(r.Start(), port.Start()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening 127.0.0.1:%d\n", port.Endpoint().Port)
	select {}
}

// epollDatagrams is the floor: recvmmsg and sendmmsg on the same memory, and nothing else.
func epollDatagrams(c *net.UDPConn) error {
	const batch, size = 64, 2048
	file, err := c.File()
	if err != nil {
		return err
	}
	fd := file.Fd()
	if err := unix.SetNonblock(int(fd), true); err != nil {
		return err
	}
	var msgs [batch]struct {
		unix.Msghdr
		n uint32
		_ [4]byte
	}
	var iov [batch]unix.Iovec
	var names [batch]unix.RawSockaddrInet4
	bufs := make([]byte, batch*size)
	for i := range msgs {
		iov[i].Base = &bufs[i*size]
		msgs[i].Iov, msgs[i].Name = &iov[i], (*byte)(unsafe.Pointer(&names[i]))
		msgs[i].SetIovlen(1)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		for i := range msgs {
			iov[i].SetLen(size)
			msgs[i].Namelen = unix.SizeofSockaddrInet4
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&msgs)), batch,
			unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			continue
		}
		for i := range n {
			iov[i].SetLen(int(msgs[i].n))
		}
		for at := uintptr(0); at < n; {
			k, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&msgs[at])), n-at,
				unix.MSG_DONTWAIT, 0, 0)
			if errno != 0 {
				break
			}
			at += k
		}
	}
}

// loadDatagrams keeps some datagrams on their way from each of many sockets.
func loadDatagrams(addr string, conns, size, inFlight, requests int, stdout io.Writer) error {
	errs, all := make([]error, conns), make([]datagramSource, conns)
	began := time.Now()
	var wg sync.WaitGroup
	for n := range conns {
		all[n] = datagramSource{addr: addr, in: messages(inFlight, size), out: messages(inFlight, size)}
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
	addr      string
	in, out   []ipv4.Message
	latencies []time.Duration
}

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
	for len(s.latencies) < requests {
		for i := range s.out {
			fill(s.out[i].Buffers[0], uint64(i))
		}
		sent := time.Now()
		for at := 0; at < len(s.out); {
			n, err := b.WriteBatch(s.out[at:], 0)
			if err != nil {
				return err
			}
			at += n
		}
		if err := c.SetReadDeadline(sent.Add(patience)); err != nil {
			return err
		}
		for left := s.out; len(left) > 0; {
			n, err := b.ReadBatch(s.in[:len(left)], 0)
			if err != nil {
				return err
			}
			for _, m := range s.in[:n] {
				if left, err = behind(left, m.Buffers[0][:m.N]); err != nil {
					return err
				}
				s.latencies = append(s.latencies, time.Since(sent))
			}
		}
	}
	return nil
}

// behind is what was sent behind the message that has come back.
func behind(sent []ipv4.Message, got []byte) ([]ipv4.Message, error) {
	for i := range sent {
		if bytes.Equal(sent[i].Buffers[0], got) {
			return sent[i+1:], nil
		}
	}
	return nil, fmt.Errorf("echo: found other bytes than were sent: %.40x", got)
}

func messages(n, size int) []ipv4.Message {
	list := make([]ipv4.Message, n)
	for i := range list {
		list[i].Buffers = [][]byte{make([]byte, size)}
	}
	return list
}
