package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/bench/same/names"
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
	c, err := listenUDP(stdout)
	if err != nil {
		return err
	}
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

// listenUDP is a native server's socket, and says where it is.
func listenUDP(stdout io.Writer) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := c.SetReadBuffer(datagramBuffer); err != nil {
		return nil, err
	}
	fmt.Fprintln(stdout, "listening", c.LocalAddr())
	return c, nil
}

// serveNames is package names, natively.
func serveNames(stdout io.Writer) error {
	c, err := listenUDP(stdout)
	if err != nil {
		return err
	}
	return names.Serve(c)
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
