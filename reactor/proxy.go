package reactor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	maxProxyV1 = 107     // with CRLF: the specification's section 2.1
	maxProxyV2 = 4 << 10 // our limit; addresses take 216, the rest are TLVs
)

var (
	proxySigV1 = "PROXY "
	proxySigV2 = "\r\n\r\n\x00\r\nQUIT\n"

	errProxy = errors.New("malformed PROXY header")
)

// awaitProxyHeader holds a connection back until its PROXY header has come.
// Only trusted sources may send one, since it is believed; a Unix socket's file
// mode says whom to trust.
func (c *connection) awaitProxyHeader() {
	if c.flags&flagUnix == 0 && !trusted(c.listener.options.Load().ProxyFrom, c.peer.Addr()) {
		c.refuseConnection(refusedHeader, fmt.Errorf("%s is not in proxy_from", c.peer.Addr()))
		return
	}
	c.setupBy = c.loop.sys.Now() + c.listener.options.Load().HandshakeTimeout
	c.updatePoller()
	c.armTimer()
}

func trusted(from []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("") // a prefix contains no address with a zone
	for _, p := range from {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// readProxyHeader takes what has come of the header, in any split.
func (c *connection) readProxyHeader() {
	buf := c.loop.buffer()
	n, err := c.sys().Read(c.fd, buf)
	if n == 0 {
		if err == nil || !retryable(err) {
			c.refuseConnection(refusedHeader, fmt.Errorf("%w: closed after %d bytes of it", errProxy, len(c.proxied)))
		}
		return
	}
	if !c.countRead(n) {
		return
	}
	c.proxied = append(c.proxied, buf[:n]...)
	size, err := proxyHeaderSize(c.proxied)
	if err != nil {
		c.refuseConnection(refusedHeader, err)
		return
	}
	if size == 0 {
		return
	}
	if err := c.takeProxyHeader(c.proxied[:size]); err != nil {
		c.refuseConnection(refusedHeader, err)
		return
	}
	if c.flags&flagNamed != 0 && !c.admitProxied() {
		return
	}
	c.proxied = c.proxied[size:]
	c.setupBy = 0
	c.share = c.listener.shareOn(c.loop) // whose it is now: a Configure may have come since it was accepted
	c.takeTurnLater()
	c.buildProtocol()
}

// takeProxyHeader takes the addresses of a complete header. LOCAL, UNKNOWN and
// UNSPEC keep the socket's own, whatever follows them (sections 2.1 and 2.2 of
// the PROXY protocol).
func (c *connection) takeProxyHeader(b []byte) error {
	const local, proxy, unspec = 0x20, 0x21, 0x00
	if b[0] == proxySigV2[0] && (b[12] == local || b[12] == proxy && b[13] == unspec) {
		return nil
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return fmt.Errorf("%w: %w", errProxy, err)
	}
	if !h.Command.IsProxy() {
		return nil
	}
	if a, ok := h.SourceAddr.(*net.TCPAddr); ok {
		c.peer = unmap(a.AddrPort())
		c.flags |= flagNamed
	}
	if a, ok := h.DestinationAddr.(*net.TCPAddr); ok {
		c.local = unmap(a.AddrPort())
	}
	return nil
}

// proxyHeaderSize is the length of the header that b begins with, 0 while it is
// not complete.
func proxyHeaderSize(b []byte) (int, error) {
	switch {
	case sharesPrefix(b, proxySigV2):
		if len(b) < 16 {
			return 0, nil
		}
		size := 16 + int(binary.BigEndian.Uint16(b[14:]))
		if size > maxProxyV2 {
			return 0, fmt.Errorf("%w: found %d bytes, wanted at most %d", errProxy, size, maxProxyV2)
		}
		if len(b) < size {
			return 0, nil
		}
		return size, nil
	case sharesPrefix(b, proxySigV1):
		if i := bytes.Index(b[:min(len(b), maxProxyV1)], []byte("\r\n")); i >= 0 {
			return i + 2, nil
		}
		if len(b) >= maxProxyV1 {
			return 0, fmt.Errorf("%w: found no CRLF in %d bytes", errProxy, maxProxyV1)
		}
		return 0, nil
	}
	return 0, fmt.Errorf("%w: found %q, wanted a signature of version 1 or 2", errProxy, b[:min(len(b), 16)])
}

func sharesPrefix(b []byte, sig string) bool {
	n := min(len(b), len(sig))
	return string(b[:n]) == sig[:n]
}

// admitProxied counts the connection to the peer that its header has named, or refuses
// it. Until then it counted to none: the socket's address is the proxy's.
func (c *connection) admitProxied() bool {
	t := c.listener.peers.Load()
	if t == nil || c.limits == nil {
		return true
	}
	p, why := t.admit(c.peer.Addr(), c.loop.now, c.listener.options.Load().PerPeer)
	if why != refusals {
		c.refuseConnection(why, fmt.Errorf("%s has as many connections as it may have, by %s", c.peer.Addr(), why))
		return false
	}
	c.limits.peer = p
	return true
}
