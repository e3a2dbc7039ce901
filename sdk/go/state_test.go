package wirehost_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// ticker counts ticks of a second and writes the count; its state is the count.
type ticker struct {
	wirehost.Base
	factory *tickers
	count   byte
	call    *wirehost.DelayedCall
}

func (p *ticker) ConnectionMade() { p.next() }

func (p *ticker) next() { p.call, _ = p.Reactor().CallLater(time.Second, p.tick) }

func (p *ticker) tick() {
	p.count++
	p.factory.total++
	_, _ = p.Transport.Write([]byte{p.factory.mark, '0' + p.count})
	p.next()
}

func (p *ticker) ClientConnectionFailed(wirehost.Reason) {}

func (p *ticker) SaveState() ([]byte, bool) {
	if p.factory.declines {
		return nil, false
	}
	_, werr := p.Transport.Write([]byte("x"))
	if werr != wirehost.ErrNotNow && p.Connected {
		return nil, false
	}
	handle := byte(0)
	if p.call != nil {
		handle = byte(p.call.Handle())
	}
	return []byte{p.count, handle}, true
}

func (p *ticker) RestoreState(version int32, state []byte) error {
	switch {
	case p.factory.refuse != nil:
		return p.factory.refuse
	case version != 1 || len(state) != 2:
		return errors.New("other state")
	}
	p.count = state[0]
	if state[1] != 0 {
		p.call = p.Reactor().RestoreCall(int32(state[1]), p.tick)
	}
	_, err := p.Transport.Write([]byte("restored "))
	if !p.Connected && err == wirehost.ErrNoConnection {
		return nil
	}
	return err
}

// tickers is a factory with a state of its own.
type tickers struct {
	mark     byte
	total    byte
	declines bool
	refuse   error
	client   bool
	built    []*ticker
}

func (f *tickers) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	p := &ticker{factory: f}
	f.built = append(f.built, p)
	return p
}

func (f *tickers) SaveState() ([]byte, bool) { return []byte{f.total}, true }

func (f *tickers) RestoreState(_ int32, state []byte) error {
	f.total = state[0]
	return nil
}

// outgoing are tickers whose outgoing connections move too.
type outgoing struct{ tickers }

func (f *outgoing) BuildClientProtocol(t *wirehost.Transport) wirehost.ClientProtocol {
	f.client = true
	return f.BuildProtocol(t).(*ticker)
}

func TestReload(t *testing.T) {
	one, two := &tickers{mark: 'a'}, &tickers{mark: 'b'}
	s, err := sdktest.Start(one, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	s.Advance(2 * time.Second)
	must(t, s.Reload(two))
	s.Advance(1 * time.Second)
	if got := c.Take(); got != "a1a2restored b3" {
		t.Errorf("found %q", got)
	}
	if two.total != 3 || !two.built[0].Connected || two.built[0].Factory != wirehost.Factory(two) {
		t.Errorf("found total %d, Connected %t", two.total, two.built[0].Connected)
	}
	c.Break(wirehost.Lost)
}

// A reload that fails changes nothing: the old version ticks on, and nothing of
// the new one is seen.
func TestReloadFails(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(old *tickers)
		next    wirehost.Factory
		want    string
	}{
		"refused": {func(*tickers) {}, &tickers{mark: 'b', refuse: errors.New("too new")},
			"restore of connection 1, state version 1: too new"},
		"declined": {func(f *tickers) { f.declines = true }, &tickers{mark: 'b'}, sdktest.ErrDeclined.Error()},
		"no state": {func(*tickers) {}, factoryOf(func() wirehost.Protocol { return &probe{} }),
			"wirehost.FactoryFunc has no RestoreState"},
		"no protocol": {func(*tickers) {}, &nothing{},
			"restore of connection 1: *wirehost_test.nothing built no protocol"},
		"not restorer": {func(*tickers) {}, &forgetful{},
			"restore of connection 1: *wirehost_test.probe has no RestoreState"},
	} {
		old := &tickers{mark: 'a'}
		s, err := sdktest.Start(old, sdktest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		conn := s.Accept()
		s.Advance(time.Second)
		c.prepare(old)
		if err := s.Reload(c.next); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, wanted %q", name, err, c.want)
		}
		s.Advance(time.Second)
		if got := conn.Take(); got != "a1a2" {
			t.Errorf("%s: found %q", name, got)
		}
	}
}

type nothing struct{ tickers }

func (*nothing) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

type forgetful struct{ tickers }

func (*forgetful) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &probe{} }

// Outgoing connections move where the factory builds them, the ones that are
// still being made too.
func TestReloadOutgoing(t *testing.T) {
	for _, establish := range []bool{false, true} {
		one, two := &tickers{mark: 'a'}, &outgoing{tickers{mark: 'b'}}
		s, err := sdktest.Start(one, sdktest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.Accept()
		p := &ticker{factory: one}
		r := one.built[0].Reactor()
		_, err = r.CallLater(0, func() { _, _ = r.Connect("tcp://x:1", 0, p) })
		must(t, err)
		s.Advance(0)
		c := s.Outgoing()[0]
		if establish {
			c.Establish()
		}
		if err := s.Reload(&tickers{}); err == nil || !strings.Contains(err.Error(), "has no BuildClientProtocol") {
			t.Errorf("no ClientBuilder: found %v", err)
		}
		must(t, s.Reload(two))
		moved := two.built[len(two.built)-1]
		if !two.client || moved.Connected != establish {
			t.Errorf("established %t: found client %t, Connected %t", establish, two.client, moved.Connected)
		}
		if !establish {
			c.Establish()
		}
		s.Advance(time.Second)
		if got := c.Take(); !strings.HasSuffix(got, "b1") {
			t.Errorf("established %t: found %q", establish, got)
		}
	}
}

// A connection that is closing moves as one that is closing.
func TestReloadClosing(t *testing.T) {
	for name, c := range map[string]struct {
		end           func(*wirehost.Transport) error
		disconnecting bool
	}{
		"closing":     {(*wirehost.Transport).LoseConnection, true},
		"half-closed": {(*wirehost.Transport).LoseWriteConnection, false},
	} {
		old := &movingPush{}
		old.made = func(*probe) {
			_, _ = old.Transport.WriteString("first")
			must(t, c.end(old.Transport))
		}
		s, conn := open(t, old, sdktest.Options{Stalled: true})
		next := &movingPush{}
		must(t, s.Reload(factoryOf(func() wirehost.Protocol { return next })))
		if next.Transport.Disconnecting() != c.disconnecting {
			t.Errorf("%s: found Disconnecting %t", name, next.Transport.Disconnecting())
		}
		writes := s.Writes
		_, err := next.Reactor().CallLater(0, func() { _, _ = next.Transport.Write(make([]byte, 5000)) })
		must(t, err)
		s.Advance(0)
		if conn.Drain(); s.Writes != writes || conn.Output() != "first" {
			t.Errorf("%s: found %d writes more, output of %d bytes", name, s.Writes-writes, len(conn.Output()))
		}
	}
}

// A connection whose restore was refused is not the new version's.
func TestRefusedIsForgotten(t *testing.T) {
	old := &tickers{mark: 'a'}
	s, err := sdktest.Start(old, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Accept()
	next := &tickers{refuse: errors.New("no")}
	if s.Reload(next) == nil {
		t.Fatal("found it taken")
	}
	if _, err := next.built[0].Transport.State(); err != wirehost.ErrNoConnection {
		t.Errorf("found %v, wanted ErrNoConnection", err)
	}
}
