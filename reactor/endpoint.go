package reactor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Endpoint is a place to listen on or to connect to, written as text like
// Twisted's endpoint strings, but as URLs: tcp://HOST:PORT, tls://HOST:PORT and
// unix://PATH. An IPv6 host stands in brackets.
type Endpoint struct {
	Scheme string // tcp, tls or unix; udp or unixgram for datagrams
	Host   string // without brackets; a name or an address; may be empty on a listener: all addresses
	Port   uint16
	Path   string // unix and unixgram only
}

// maxUnixPath is how many bytes this system has for a Unix socket's path, without the
// NUL at its end (unix(7): 108 on Linux, fewer elsewhere).
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// schemes are those of one kind of endpoint.
type schemes struct {
	ports []string // HOST:PORT
	path  string
	words string // all of them, for errors
}

var (
	streamSchemes   = schemes{[]string{"tcp", "tls"}, "unix", "tcp, tls or unix"}
	datagramSchemes = schemes{[]string{"udp"}, "unixgram", "udp or unixgram"}
)

// ParseEndpoint reads the text form. Its errors say what was found and wanted.
func ParseEndpoint(text string) (Endpoint, error) { return parseEndpoint(text, streamSchemes) }

func parseEndpoint(text string, s schemes) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		wanted := strings.Join(s.ports, "://HOST:PORT, ") + "://HOST:PORT or " + s.path + "://PATH"
		return Endpoint{}, fmt.Errorf("endpoint %q: found no scheme, wanted %s", text, wanted)
	case scheme == s.path:
		if rest == "" {
			return Endpoint{}, fmt.Errorf("endpoint %q: found no path, wanted %s://PATH", text, scheme)
		}
		if strings.IndexByte(rest, 0) >= 0 {
			return Endpoint{}, fmt.Errorf("endpoint %q: found a NUL byte in the path", text)
		}
		path := filepath.Clean(rest)
		if len(path) > maxUnixPath {
			return Endpoint{}, fmt.Errorf("endpoint %q: found a path of %d bytes, wanted at most %d",
				text, len(path), maxUnixPath)
		}
		return Endpoint{Scheme: scheme, Path: path}, nil
	case slices.Contains(s.ports, scheme):
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return Endpoint{}, fmt.Errorf("endpoint %q: %s, wanted %s://HOST:PORT", text, reasonOf(err), scheme)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return Endpoint{}, fmt.Errorf("endpoint %q: found port %s, wanted a number from 0 to 65535", text,
				quoted(port))
		}
		if strings.ContainsAny(host, "/ \t\r\n\x00@?#") {
			return Endpoint{}, fmt.Errorf("endpoint %q: found host %s, wanted a name or an address", text,
				quoted(host))
		}
		if strings.ContainsRune(host, ':') {
			if _, err := netip.ParseAddr(host); err != nil {
				return Endpoint{}, fmt.Errorf("endpoint %q: found host %s, wanted an IPv6 address in the brackets",
					text, quoted(host))
			}
		}
		return Endpoint{Scheme: scheme, Host: host, Port: uint16(n)}, nil
	}
	return Endpoint{}, fmt.Errorf("endpoint %q: found scheme %s, wanted %s", text, quoted(scheme), s.words)
}

// quoted is a part of an endpoint for an error: the whole stands before it.
func quoted(part string) string {
	const most = 64 // bytes
	if len(part) <= most {
		return strconv.Quote(part)
	}
	return strconv.Quote(part[:most]) + "..."
}

func reasonOf(err error) string {
	var bad *net.AddrError
	if errors.As(err, &bad) {
		return bad.Err
	}
	return err.Error()
}

// String is the text form; ParseEndpoint reads it back.
func (e Endpoint) String() string {
	if e.isPath() {
		return e.Scheme + "://" + e.Path
	}
	return e.Scheme + "://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

func (e Endpoint) isPath() bool { return isPath(e.Scheme) }

// network and address are the words of package net.
func (e Endpoint) network() string {
	if e.isPath() || e.Scheme == "udp" {
		return e.Scheme
	}
	return "tcp"
}

func (e Endpoint) address() string {
	if e.isPath() {
		return e.Path
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}
