package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// listenNet listens through package net. A Unix path on which nobody listens
// any more, left behind by a process that was killed, is removed first; one in
// use, or with something else there, is EADDRINUSE.
func listenNet(network, address string, o SocketOptions) (net.Listener, error) {
	var ln net.Listener
	err := bindFile(network, address, o, func(lc net.ListenConfig) (io.Closer, error) {
		lc.KeepAlive = -1 // SetTCPKeepAlive turns it on
		lc.SetMultipathTCP(false)
		var err error
		ln, err = lc.Listen(context.Background(), network, address)
		return ln, err
	})
	return ln, err
}

// bindNet is listenNet for datagrams.
func bindNet(network, address string, o SocketOptions) (net.PacketConn, error) {
	var c net.PacketConn
	err := bindFile(network, address, o, func(lc net.ListenConfig) (io.Closer, error) {
		var err error
		c, err = lc.ListenPacket(context.Background(), network, address)
		return c, err
	})
	return c, err
}

// bindFile has bind make a socket that is bound, of which the file, where it has one, gets
// its mode and owners.
func bindFile(network, address string, o SocketOptions, bind func(net.ListenConfig) (io.Closer, error)) error {
	isFile := isPath(network) && !abstract(address)
	if isFile {
		if err := clearPath(network, address); err != nil {
			return err
		}
	}
	done := closedFiles(network, o)
	ln, err := bind(net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		return controlled(c, func(fd uintptr) error { return beforeBind(network, fd, o) })
	}})
	done()
	if err != nil || !isFile {
		return err
	}
	if err := setFile(address, o); err != nil {
		return errors.Join(err, ln.Close())
	}
	return nil
}

// isPath tells whether a network's addresses are paths.
func isPath(network string) bool {
	return network == "unix" || network == "unixgram" || network == insideScheme
}

// setSocket has set work on the descriptor of one of package net's sockets.
func setSocket(of any, set func(fd uintptr) error) error {
	c, ok := of.(syscall.Conn)
	if !ok {
		return syscall.EOPNOTSUPP
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return controlled(raw, set)
}

// controlled has set work on a descriptor.
func controlled(c syscall.RawConn, set func(fd uintptr) error) error {
	var setErr error
	if err := c.Control(func(fd uintptr) { setErr = set(fd) }); err != nil {
		return err
	}
	return setErr
}

// zoneID is the number of the interface that a zone names, or is (RFC 4007, 11.2).
func zoneID(zone string) (uint32, error) {
	ifi, err := net.InterfaceByName(zone)
	if err == nil {
		return uint32(ifi.Index), nil
	}
	if n, notNumber := strconv.ParseUint(zone, 10, 32); notNumber == nil {
		return uint32(n), nil
	}
	return 0, err
}

// abstract tells Linux's names of sockets that are no files.
func abstract(address string) bool { return address[0] == '@' && runtime.GOOS == "linux" }

// clearPath removes a socket on which nobody listens.
func clearPath(network, path string) error {
	st, err := os.Lstat(path)
	if err != nil { // nothing there, most likely; whatever it is, to listen fails of it too
		return nil
	}
	if st.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("found something there that is no socket: %w", syscall.EADDRINUSE)
	}
	c, err := net.DialTimeout(network, path, time.Second)
	if err == nil {
		c.Close()
		return nil
	}
	if errors.Is(portableErrno(err), syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	return nil
}

// socketKind is what a socket of another process is to be, as an error names it.
type socketKind string

const (
	connected    socketKind = "a connection"
	listening    socketKind = "a socket that listens"
	forDatagrams socketKind = "one for datagrams"
)

func streamSocket(listens bool) socketKind {
	if listens {
		return listening
	}
	return connected
}

// socketFile is the file of a Unix socket that is listened on; the zero value is
// none.
type socketFile struct {
	path string
	info os.FileInfo
}

// takeFile has the caller remove ln's file, where it has one, in package net's
// place, which would remove another's too. On Windows nothing tells whether a
// socket is the same, and package net goes on.
func takeFile(ln net.Listener) socketFile {
	u, ok := ln.(*net.UnixListener)
	if !ok || runtime.GOOS == "windows" {
		return socketFile{}
	}
	u.SetUnlinkOnClose(false)
	return fileAt(u.Addr())
}

// fileAt is the file of the Unix socket that listens at a.
func fileAt(a net.Addr) socketFile {
	u, ok := a.(*net.UnixAddr)
	if !ok || u.Name == "" || abstract(u.Name) {
		return socketFile{}
	}
	info, err := os.Lstat(u.Name)
	if err != nil { // it went already
		return socketFile{}
	}
	return socketFile{u.Name, info}
}

// set gives the file another mode and other owners, unless it is another's by now.
func (f socketFile) set(o SocketOptions) error {
	if f.info == nil {
		return nil
	}
	if now, err := os.Lstat(f.path); err != nil || !os.SameFile(now, f.info) {
		return nil
	}
	return setFile(f.path, o)
}

// remove removes the file, unless another has taken its place: of a server that was
// started since.
func (f socketFile) remove() {
	if f.info == nil {
		return
	}
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
		os.Remove(f.path)
	}
}
