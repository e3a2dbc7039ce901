package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// serveNet is the usual Go server: package net, a goroutine for each
// connection, each with a buffer of its own.
func serveNet(o serveOptions, stdout io.Writer) error {
	var ln net.Listener
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := ln.Addr()
	if o.tls {
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	fmt.Fprintln(stdout, "listening", addr)
	return serveEach(ln, func(c net.Conn) { echo(c, make([]byte, o.buffer)) })
}

// listenAnywhere listens on a port that the system chooses, and tells it.
func listenAnywhere(stdout io.Writer) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(stdout, "listening", ln.Addr())
	return ln, err
}

// serveEach gives each connection a goroutine.
func serveEach(ln net.Listener, serve func(net.Conn)) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go serve(c)
	}
}

func echo(c net.Conn, buf []byte) {
	defer c.Close()
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// serveLines is the usual Go server of lines: bufio.Scanner, and a bufio.Writer
// that is flushed before the connection is read again.
func serveLines(stdout io.Writer) error {
	ln, err := listenAnywhere(stdout)
	if err != nil {
		return err
	}
	return serveEach(ln, answerLines)
}

func answerLines(c net.Conn) {
	defer c.Close()
	out := bufio.NewWriter(c)
	for in := bufio.NewScanner(flushing{c, out}); in.Scan(); { // drops the CR with the LF
		out.Write(in.Bytes()) // a failure sticks: Flush tells it
		out.WriteString("\r\n")
	}
}

// flushing writes what is buffered before it reads.
type flushing struct {
	net.Conn
	out *bufio.Writer
}

func (f flushing) Read(p []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

// gnetEcho is gnet's own way to echo.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	booted func()
}

func (s *gnetEcho) OnBoot(gnet.Engine) gnet.Action { s.booted(); return gnet.None }

func (s *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(buf); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// serveGnet is gnet with one event loop.
func serveGnet(_ serveOptions, stdout io.Writer) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	return gnet.Run(&gnetEcho{booted: func() { fmt.Fprintln(stdout, "listening", addr) }}, "tcp://"+addr,
		gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay))
}

// freeAddress is a loopback address on which nobody listens. For servers that
// can't say which port 0 became.
func freeAddress() (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// raiseLimit takes all the file descriptors that the system allows.
func raiseLimit() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("RLIMIT_NOFILE of %d: %w", lim.Max, err)
	}
	if lim.Max < mostConnections+100 {
		return errors.New("RLIMIT_NOFILE: found a hard limit below what the idle case needs")
	}
	return nil
}
