//go:build unix

package command

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// young is a kind of connections that no plugin has yet when they are opened. What open returns
// brings one to its plugin, and wants its answer.
type young struct {
	name string
	open func() (finish func() error, err error)
}

// echoed writes text, and wants it back. Its time begins here: how long a connection was young is
// up to the upgrade.
func echoed(c net.Conn, text, back string) error {
	err := c.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = io.WriteString(c, text)
	}
	b := make([]byte, len(back))
	if err == nil {
		_, err = io.ReadFull(c, b)
	}
	if err == nil && string(b) != back {
		err = fmt.Errorf("found %q, wanted %q", b, back)
	}
	return errors.Join(err, c.Close())
}

// halves is a kind that sends the first part of a text when it is opened, and the rest later;
// all but the header comes back.
func halves(name, address, header, first, rest string) young {
	return young{name, func() (func() error, error) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_, err = io.WriteString(c, first)
		}
		return func() error { return echoed(c, rest, strings.TrimPrefix(first+rest, header)) }, err
	}}
}

// halfHello writes half of a ClientHello, and the rest when it may.
type halfHello struct {
	net.Conn
	half, rest chan struct{} // closed when it has gone, and may go
	begun      bool
}

func (h *halfHello) Write(b []byte) (int, error) {
	if h.begun {
		return h.Conn.Write(b)
	}
	h.begun = true
	n, err := h.Conn.Write(b[:len(b)/2])
	close(h.half)
	<-h.rest
	if err != nil {
		return n, err
	}
	more, err := h.Conn.Write(b[n:])
	return n + more, err
}

// shaking is a kind that is in its TLS handshake.
func shaking(name, address string, version uint16) young {
	return young{name, func() (func() error, error) {
		plain, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		h := &halfHello{Conn: plain, half: make(chan struct{}), rest: make(chan struct{})}
		c := tls.Client(h, &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) // its own
		shaken := make(chan error, 1)
		go func() { shaken <- c.Handshake() }()
		<-h.half
		return func() error {
			err := plain.SetDeadline(time.Now().Add(patience))
			close(h.rest)
			if err = errors.Join(err, <-shaken); err != nil {
				return errors.Join(err, plain.Close())
			}
			return echoed(c, "one?", "one?")
		}, nil
	}}
}

// helloOf is what crypto/tls's client begins with, in two parts.
func helloOf(t *testing.T, name string) (first, rest string) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: name}).Handshake() }() // which ends with ours
	b := make([]byte, 16<<10)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n/3]), string(b[n/3 : n])
}

// startYoung starts a server for connections of such kinds.
func startYoung(t *testing.T) (*upgraded, []young) {
	u := upgradedIn(t)
	const route = `route: [{sni: one.example, plugin: loop}, {prefix: "one", plugin: each}, ` +
		`{prefix: "two", plugin: shared}], route_timeout: `
	u.configure(fmt.Sprintf(`
plugins:
  own: {module: "builtin:echo", drain: 20m}
  loop: {module: "builtin:echo", drain: 20m}
  each: {module: "builtin:echo", isolation: connection, drain: 20m}
  shared: {module: "builtin:echo", isolation: shared, drain: 20m}
  pass: {module: %[2]q, drain: 20m}
listeners:
  - {endpoint: "tcp://$0", %[1]s 10m}
  - {endpoint: "tcp://$1", plugin: own, %[1]s 100ms}
  - {endpoint: "tcp://$2", plugin: loop, proxy_protocol: true, proxy_from: [127.0.0.0/8], tls: {handshake_timeout: 10m}}
  - {endpoint: "tcp://$3", proxy_protocol: true, proxy_from: [127.0.0.0/8], tls: {handshake_timeout: 10m}, %[1]s 10m}
  - {endpoint: "tls://$4", plugin: each, tls: {cert: "$cert", key: "$key", handshake_timeout: 10m}}
  - {endpoint: "tls://$5", tls: {cert: "$cert", key: "$key", handshake_timeout: 10m}, %[1]s 10m}
  - {endpoint: "tls://$6", chain: [pass, loop], tls: {cert: "$cert", key: "$key", handshake_timeout: 10m}}
`, route, guestModule(t, "passes_as")))
	u.start()
	const header = "PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n"
	first, rest := helloOf(t, "one.example")
	return u, []young{
		halves("nothing was sent", u.ports[0], "", "", "one"),
		halves("half of a prefix", u.ports[0], "", "on", "e"),
		halves("half of a prefix, of a shared plugin", u.ports[0], "", "t", "wo"),
		halves("half of a ClientHello", u.ports[0], "", first, rest),
		halves("silent", u.ports[1], "", "on", ""),
		halves("no PROXY header", u.ports[2], header, "", header+"x"),
		halves("half of a PROXY header", u.ports[2], header, header[:12], header[12:]+"x"),
		halves("half of a PROXY header, before route", u.ports[3], header, header[:12], header[12:]+"two"),
		halves("a PROXY header, before route", u.ports[3], header, header+"on", "e"),
		shaking("a TLS 1.3 handshake", u.ports[4], tls.VersionTLS13),
		shaking("a TLS 1.2 handshake", u.ports[4], tls.VersionTLS12),
		shaking("a TLS handshake, before route", u.ports[5], tls.VersionTLS13),
		shaking("a TLS handshake, before a chain", u.ports[6], tls.VersionTLS13),
	}
}

// youngAtOnce is how many connections of a kind are young at a time.
const youngAtOnce = 8

// flow has connections of a kind go through, some of which are young at each moment.
func (u *upgraded) flow(kind young, lost *atomic.Int64) {
	u.streaming.Go(func() {
		var list []func() error
		for stopped := false; !stopped || len(list) > 0; {
			select {
			case <-u.stop:
				stopped = true
			default:
			}
			if !stopped {
				finish, err := kind.open()
				if err != nil {
					u.t.Errorf("%s: %v", kind.name, err)
					return
				}
				if list = append(list, finish); len(list) < youngAtOnce {
					continue
				}
			}
			if err := list[0](); err != nil {
				lost.Add(1)
				u.t.Errorf("%s: connection %d is lost: %v", kind.name, u.connected.Load(), err)
			}
			list = list[1:]
			u.connected.Add(1)
		}
	})
}

// TestUpgradeYoung: while processes take over, connections are opened all the time, and in each
// state in which they have no plugin yet: none is lost. Some are young over the whole of each
// upgrade.
func TestUpgradeYoung(t *testing.T) {
	u, kinds := startYoung(t)
	var lost atomic.Int64
	for _, kind := range kinds {
		u.flow(kind, &lost)
	}
	times, _ := upgrades()
	for n := range times {
		var names []string
		var list []func() error
		for _, kind := range kinds {
			for range youngAtOnce {
				finish, err := kind.open()
				if err != nil {
					t.Fatalf("%s: %v", kind.name, err)
				}
				names, list = append(names, kind.name), append(list, finish)
			}
		}
		if _, err := u.upgrade(); err != nil {
			t.Fatalf("upgrade %d: %v\n%s", n, err, u.p.stderr())
		}
		for m, finish := range list {
			if err := finish(); err != nil {
				lost.Add(1)
				t.Errorf("upgrade %d: %s: a connection is lost: %v", n, names[m], err)
			}
		}
	}
	u.end()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d connections are lost, %d are not", n, u.connected.Load())
	}
}
