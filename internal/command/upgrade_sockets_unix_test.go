//go:build unix

package command

import (
	"crypto/tls"
	le "encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// guestModule is the path of a guest of package host's tests.
func guestModule(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../host/testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// mail sends numbers as datagrams, some at a time, and wants each back once and in order.
func (u *upgraded) mail(dial func() (net.Conn, error)) {
	u.t.Helper()
	c, err := dial()
	if err != nil {
		u.t.Fatal(err)
	}
	u.streaming.Go(func() {
		defer c.Close()
		const ahead = 16
		buf := make([]byte, 9)
		for sent, got := uint64(0), uint64(0); ; {
			select {
			case <-u.stop:
				return
			default:
			}
			err := c.SetDeadline(time.Now().Add(patience))
			for range ahead {
				if err == nil {
					_, err = c.Write(append([]byte{'!'}, le.LittleEndian.AppendUint64(nil, sent)...))
					sent++
				}
			}
			for range ahead {
				if err == nil {
					_, err = c.Read(buf)
				}
				if found := le.LittleEndian.Uint64(buf[1:]); err == nil && found != got {
					err = fmt.Errorf("found %d, wanted %d", found, got)
				}
				got++
			}
			if err != nil {
				u.t.Errorf("%s: %v", c.RemoteAddr(), err)
				return
			}
			u.exchanged.Add(ahead)
		}
	})
}

// post sends datagrams to a Unix socket, and counts them.
func (u *upgraded) post(path string) (sent *atomic.Int64) {
	u.t.Helper()
	c, err := net.Dial("unixgram", path)
	if err != nil {
		u.t.Fatal(err)
	}
	sent = &atomic.Int64{}
	u.streaming.Go(func() {
		defer c.Close()
		for {
			select {
			case <-u.stop:
				return
			default:
			}
			err := c.SetDeadline(time.Now().Add(patience))
			if err == nil {
				_, err = c.Write([]byte("!")) // it waits while the socket's queue is full
			}
			if err != nil {
				u.t.Errorf("%s: %v", path, err)
				return
			}
			sent.Add(1)
		}
	})
	return sent
}

// seen waits until a guest has seen so many datagrams beside those by which it is asked.
func (u *upgraded) seen(address string, sent *atomic.Int64) {
	u.t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		u.t.Fatal(err)
	}
	defer c.Close()
	for asked, began := int64(1), time.Now(); ; asked++ {
		n, err := askGuest(c, "s")
		if got := int64(n) - asked; err != nil || got > sent.Load() || time.Since(began) > patience {
			u.t.Fatalf("%d datagrams were seen of %d, %v", got, sent.Load(), err)
		} else if got == sent.Load() {
			return
		}
	}
}

// askGuest asks a guest of package host's, and gives its answer.
func askGuest(c net.Conn, what string) (int32, error) {
	b := make([]byte, 4)
	err := c.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = c.Write([]byte(what))
	}
	if err == nil {
		_, err = io.ReadFull(c, b)
	}
	return int32(le.LittleEndian.Uint32(b)), err
}

// knock connects to a guest's listener again and again, and wants it to be the one of a handle.
func (u *upgraded) knock(address string, listener int32) {
	u.streaming.Go(func() {
		for {
			select {
			case <-u.stop:
				return
			default:
			}
			c, err := net.Dial("tcp", address)
			if err != nil {
				u.t.Error(err)
				return
			}
			from, err := askGuest(c, "f")
			_ = c.Close() // it has answered, or failed
			if err != nil || from != listener {
				u.t.Errorf("connection %d came from listener %d, %v, wanted %d", u.connected.Load(), from, err,
					listener)
				return
			}
			u.connected.Add(1)
		}
	})
}

// TestUpgradeSockets: under upgrades no datagram is lost, in the system's queue or elsewhere,
// and none comes twice; nobody who connects to a guest's listener is refused.
func TestUpgradeSockets(t *testing.T) {
	u := upgradedIn(t)
	ports := u.ports
	u.configure(fmt.Sprintf(`
plugins:
  datagrams: {module: %[1]q}
  posted: {module: %[1]q, isolation: shared}
  listens:
    module: %[2]q
    config: "tcp://$0"
    isolation: shared
    allow: {listen: ["tcp://$0", "tls://$1"], tls: {cert: "$cert", key: "$key"}}
listeners:
  - {endpoint: "udp://$2", plugin: datagrams}
  - {endpoint: "unixgram://$dir/datagrams", plugin: posted}
  - {endpoint: "udp://$4", plugin: posted}
  - {endpoint: "tcp://$3", plugin: listens}
`, guestModule(t, "datagrams"), guestModule(t, "listens")))
	u.start()
	first, err := net.Dial("tcp", ports[3])
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ask := func(c net.Conn, what string) int32 {
		t.Helper()
		n, err := askGuest(c, what)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	own, secured := ask(first, "o"), ask(first, "ltls://"+ports[1])
	if own < 1 || secured < 1 {
		t.Fatalf("found listeners %d and %d", own, secured)
	}
	u.knock(ports[0], own)
	for range 4 {
		u.mail(func() (net.Conn, error) { return net.Dial("udp", ports[2]) })
	}
	sent := u.post(u.dir + "/datagrams")
	for n := range 3 {
		out, err := u.upgrade()
		if err != nil {
			t.Fatalf("upgrade %d: %v\n%s", n, err, u.p.stderr())
		}
		for _, d := range out.Plugins {
			if d.Stay > 0 || d.Plugin == "listens" && d.Listeners != 2 || d.Plugin == "datagrams" && d.Sockets < 2 {
				t.Errorf("upgrade %d: %+v", n, d)
			}
		}
		c, err := tls.Dial("tcp", ports[1], &tls.Config{InsecureSkipVerify: true}) // its own
		if err != nil {
			t.Fatal(err)
		}
		if from := ask(c, "f"); from != secured {
			t.Errorf("upgrade %d: one came from listener %d, wanted %d", n, from, secured)
		}
		_ = c.Close() // it has answered
		if has := ask(first, "o"); has != own {
			t.Errorf("upgrade %d: the first connection's guest has listener %d, wanted %d", n, has, own)
		}
	}
	u.end(func() { u.seen(ports[4], sent) })
}
