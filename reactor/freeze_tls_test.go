package reactor_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/internal/tlsrecord"
	"github.com/wirehost/wirehost/reactor"
)

// movedTLS is a connection whose server's end is moved whenever a test says so.
type movedTLS struct {
	t     *testing.T
	sys   *memnet.Sys
	r     *reactor.Reactor
	p     *halfOpen
	f     *movingFactory
	peer  *memnet.Peer
	u     *updater
	tc    *tls.Conn
	moves atomic.Int64
}

func newMovedTLS(t *testing.T, thawed bool) *movedTLS {
	t.Helper()
	m := &movedTLS{t: t, sys: memnet.New(memnet.Options{}),
		p: &halfOpen{got: make(chan string, 100), lost: make(chan string, 1)}}
	m.f = &movingFactory{Factory: m.p, t: t, moves: &m.moves, thawed: thawed}
	r, network, address, client := serveTLS(t, reactor.Config{Loops: 1, Sys: m.sys}, m.f)
	m.r = r
	var err error
	if m.peer, err = m.sys.Dial(network, address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.peer.Close() })
	m.u, m.tc = newUpdater(t, m.peer.Conn(), client)
	m.peer.Write(m.u.data("hello")) // the server's end of the handshake may come later
	m.wantEcho("hello")
	return m
}

// move moves the connection, at the moment in which nothing is left to do.
func (m *movedTLS) move() {
	m.t.Helper()
	m.sys.Settle()
	was := m.moves.Load()
	m.onLoop(func() { m.p.Transport.(*movingTransport).move() })
	if m.moves.Load() == was {
		m.t.Fatal("the connection was not moved")
	}
}

func (m *movedTLS) onLoop(f func()) {
	m.t.Helper()
	done := make(chan struct{})
	if err := m.r.Loops()[0].CallFromThread(func() { f(); close(done) }); err != nil {
		m.t.Fatal(err)
	}
	<-done
}

// sendMoving sends bytes one by one, and has the connection moved behind each.
func (m *movedTLS) sendMoving(b []byte) {
	m.t.Helper()
	for i := range b {
		if n, err := m.peer.Write(b[i : i+1]); n != 1 {
			m.t.Fatal(err)
		}
		m.move()
	}
}

func (m *movedTLS) wantEcho(want string) {
	m.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(m.tc, b); err != nil || string(b) != want {
		m.t.Fatalf("read %q, %v, wanted %q", b, err, want)
	}
}

// TestTLSMovedAtEachByte: a session goes on wherever its records are cut, with key updates
// of both sides, useless records, and each side closed before the other.
func TestTLSMovedAtEachByte(t *testing.T) {
	for _, thawed := range []bool{false, true} {
		for _, first := range []string{"ours", "the peer's"} {
			t.Run(fmt.Sprintf("thawed=%t, %s is closed first", thawed, first), func(t *testing.T) {
				m := newMovedTLS(t, thawed)
				m.sendMoving(m.u.data("before"))
				m.wantEcho("before")
				m.sendMoving(m.u.update())
				m.sendMoving(m.u.record(23, nil))
				m.sendMoving(m.u.data("after"))
				m.wantEcho("after") // under the server's next key
				if first == "ours" {
					m.sendMoving(m.u.data("lose"))
					if b, err := io.ReadAll(m.tc); err != nil || len(b) > 0 {
						t.Fatalf("read %q, %v", b, err)
					}
					m.sendMoving(append(m.u.update(), m.u.data("unanswered")...))
				}
				end := m.u.record(21, []byte{1, 0}) // close_notify
				if first == "ours" {
					last := len(end) - 1
					m.sendMoving(end[:last])
					m.peer.Write(end[last:])
				} else {
					m.sendMoving(end)
					m.onLoop(func() { m.p.Write([]byte("late")) })
					m.move()
					m.wantEcho("late")
					m.onLoop(func() { m.p.LoseConnection() })
				}
				if why := <-m.p.lost; why != "connection done, <nil>" {
					t.Error("lost:", why)
				}
			})
		}
	}
}

// TestTLSMovedFacts: what is told of a session is told where it went; what is wrong with a
// record is found there too.
func TestTLSMovedFacts(t *testing.T) {
	m := newMovedTLS(t, false)
	m.sendMoving(m.u.data("x"))
	var was, is string
	facts := func() string {
		version, name := reactor.Ended{Transport: m.p.Transport.(*movingTransport).Transport}.TLS()
		return fmt.Sprint(m.p.NegotiatedProtocol(), m.p.State(), version, name)
	}
	m.onLoop(func() { was = facts() })
	m.move()
	m.onLoop(func() { is = facts() })
	if was != is || !strings.Contains(is, "localhost") {
		t.Errorf("found %s, wanted %s", is, was)
	}
	bad := m.u.data("y")
	bad[len(bad)-1] ^= 1
	m.sendMoving(bad[:len(bad)-1])
	m.peer.Write(bad[len(bad)-1:])
	if why := <-m.p.lost; !strings.HasPrefix(why, "TLS") {
		t.Error("lost:", why)
	}
	if _, err := m.tc.Read(make([]byte, 2)); err != nil { // the echo of x
		t.Error(err)
	}
	var alert tls.AlertError
	_, err := m.tc.Read(make([]byte, 1))
	if !errors.As(err, &alert) && !strings.Contains(fmt.Sprint(err), "bad record MAC") {
		t.Errorf("read: %v", err)
	}
}

// TestFrozenSecrets: no verb prints a frozen session's secrets, and they are zeroed by Wipe
// and when the session has been adopted or forgotten; a session of nonsense is refused.
func TestFrozenSecrets(t *testing.T) {
	m := newMovedTLS(t, false)
	m.sendMoving(m.u.data("x"))
	m.onLoop(func() {
		at := m.p.Transport.(*movingTransport)
		l := at.Loop()
		s, err := l.Freeze(at.Transport)
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Thaw(at.Transport)
		secret := string(s.TLS.Session.In.Secret)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			text := fmt.Sprintf(verb, *s.TLS)
			for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprint([]byte(secret))} {
				if strings.Contains(text, form) {
					t.Errorf("%s prints the secret", verb)
				}
			}
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Error(err)
		}
		s.Wipe()
		wiped := func(s *reactor.FrozenTLS) bool {
			both := append(append(tlsrecord.Secret{}, s.Session.In.Secret...), s.Session.Out.Secret...)
			return len(both) > 0 && strings.Trim(string(both), "\x00") == ""
		}
		if !wiped(s.TLS) {
			t.Error("Wipe left secrets")
		}
		f, err := l.File(at.Transport)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for _, suite := range []uint16{0, s.TLS.Session.Suite} {
			s = reactor.Frozen{}
			if err := json.Unmarshal(text, &s); err != nil {
				t.Error(err)
			}
			s.TLS.Session.Suite = suite
			next, err := l.Adopt(f, s, at.protocol, nil, reactor.ListenerOf(at.Transport), nil)
			if (err == nil) != (suite != 0) || !wiped(s.TLS) {
				t.Errorf("suite %#x: found %v, and secrets wiped: %t", suite, err, wiped(s.TLS))
			}
			if err == nil {
				l.Forget(next)
			}
		}
	})
}
