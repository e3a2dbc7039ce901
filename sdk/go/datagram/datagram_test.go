package datagram_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// echo answers each datagram, and writes down what else it is told.
type echo struct {
	datagram.Base
	told *[]string
}

func (e *echo) tell(format string, args ...any) {
	*e.told = append(*e.told, fmt.Sprintf(format, args...))
}

func (e *echo) StartProtocol() { e.tell("start %t", e.Factory != nil) }

func (e *echo) DatagramReceived(data []byte, from netip.AddrPort) {
	switch string(data) {
	case "close":
		e.told2(e.Transport.LoseConnection())
	case "flush":
		e.told2(e.Transport.Write(data, from))
		e.told2(e.Transport.Flush())
	case "stream":
		_, err := e.Transport.WriteString("x")
		e.told2(err)
	}
	e.told2(e.Transport.Write(data, from))
}

func (e *echo) told2(err error) {
	if err != nil {
		e.tell("%v", err)
	}
}

func (e *echo) ConnectionRefused()                  { e.tell("refused") }
func (e *echo) StopProtocol(reason wirehost.Reason) { e.tell("stop %v", reason) }

// kept moves in a reload.
type kept struct{ echo }

func (k *kept) SaveState() ([]byte, bool) { return []byte(strings.Join(*k.told, ",")), true }
func (k *kept) RestoreState(_ int32, state []byte) error {
	k.tell("restored %s", state)
	return nil
}

// factory has a protocol for sockets, and none for connections.
type factory struct {
	told  *[]string
	keeps bool
	r     *wirehost.Reactor
}

func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.r = r
	return nil
}

func (*factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

func (f *factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	if f.keeps {
		return datagram.New(t, &kept{echo{told: f.told}})
	}
	return datagram.New(t, &echo{told: f.told})
}

var (
	four = netip.MustParseAddrPort("192.0.2.1:5000")
	six  = netip.MustParseAddrPort("[2001:db8::1]:6000")
)

func start(t *testing.T, f wirehost.Factory) *sdktest.Server {
	t.Helper()
	s, err := sdktest.Start(f, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a batch is answered with goes out in one call, to who sent it, however long it is.
func TestEcho(t *testing.T) {
	var told []string
	s := start(t, &factory{told: &told})
	k := s.Bind("udp://127.0.0.1:53")
	long := strings.Repeat("x", 1473)
	for _, from := range []netip.AddrPort{four, six} {
		before := k.Sends
		k.Receive(from, "a", "", "1234567", "12345678", long)
		var found []string
		for _, d := range k.Take() {
			if d.To != from {
				t.Errorf("to %v, wanted %v", d.To, from)
			}
			found = append(found, string(d.Data))
		}
		if wanted := []string{"a", "", "1234567", "12345678", long}; !slices.Equal(found, wanted) {
			t.Errorf("found %q, wanted %q", found, wanted)
		}
		if k.Sends != before+1 {
			t.Errorf("%d calls, wanted 1", k.Sends-before)
		}
	}
	k.Receive(four, "flush")
	if k.Sends != 4 {
		t.Errorf("%d calls, wanted 4: two more", k.Sends)
	}
	k.Receive(four, "a", "close", "b")
	if reason, ended := k.Ended(); !ended || reason != wirehost.Done {
		t.Errorf("%v %t, wanted done", reason, ended)
	}
	if wanted := []string{"start true", "stop done"}; !slices.Equal(told, wanted) {
		t.Errorf("told %q, wanted %q", told, wanted)
	}
}

// More than one call takes goes out in several.
func TestMany(t *testing.T) {
	var told []string
	s := start(t, &factory{told: &told})
	k := s.Bind("udp://127.0.0.1:53")
	k.Receive(four, slices.Repeat([]string{""}, 1024)...)
	k.Receive(four, slices.Repeat([]string{strings.Repeat("x", 30000)}, 5)...)
	if n := len(k.Take()); n != 1029 || k.Sends != 4 {
		t.Errorf("%d datagrams in %d calls, wanted 1029 in 4", n, k.Sends)
	}
	if !slices.Equal(told, []string{"start true"}) {
		t.Errorf("told %q", told)
	}
}

// What the system does not take is counted.
func TestDropped(t *testing.T) {
	var p *echo
	var told []string
	s := start(t, builder(func(tr *wirehost.Transport) wirehost.Protocol {
		p = &echo{told: &told}
		return datagram.New(tr, p)
	}))
	k := s.Bind("udp://127.0.0.1:53")
	k.Full = 2
	k.Receive(four, "a", "b", "c", "d", "e")
	if len(k.Take()) != 2 || p.Transport.Dropped() != 3 {
		t.Errorf("%d dropped, wanted 3", p.Transport.Dropped())
	}
	k.Receive(four, "stream")
	if !slices.Contains(told, wirehost.ErrNotSupported.Error()) {
		t.Errorf("told %q, wanted that a socket takes no stream", told)
	}
}

type builder func(t *wirehost.Transport) wirehost.Protocol

func (builder) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return nil }

func (b builder) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol { return b(t) }

// A socket that the plugin opens is connected, and its protocol started later.
func TestOpen(t *testing.T) {
	var told []string
	f := &factory{told: &told}
	s := start(t, f)
	p := &echo{told: &told}
	tr, err := datagram.Open(f.r, "udp://192.0.2.9:123", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Send([]byte("early")); !errors.Is(err, wirehost.ErrNoConnection) {
		t.Errorf("found %v, wanted that it is not there yet", err)
	}
	k := s.Opened()[0]
	k.Start()
	for _, err := range []error{
		tr.Send([]byte("ask")), tr.Flush(),
		tr.JoinGroup("239.1.2.3"), tr.JoinGroup("239.1.2.4"), tr.LeaveGroup("239.1.2.3"),
		tr.SetDatagramOption(wirehost.MulticastHops, 7),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if sent := k.Take(); len(sent) != 1 || sent[0].To.IsValid() || string(sent[0].Data) != "ask" {
		t.Errorf("sent %v", sent)
	}
	if hops, _ := k.Option(wirehost.MulticastHops); hops != 7 || !slices.Equal(k.Groups, []string{"239.1.2.4"}) {
		t.Errorf("hops %d, groups %q", hops, k.Groups)
	}
	k.Refuse()
	k.Stop(wirehost.Lost)
	if wanted := []string{"start true", "refused", "stop lost"}; !slices.Equal(told, wanted) {
		t.Errorf("told %q, wanted %q", told, wanted)
	}
	if err := tr.Send([]byte("late")); !errors.Is(err, wirehost.ErrNoConnection) {
		t.Errorf("found %v, wanted that it has ended", err)
	}
}

// In a reload a socket's state moves, or its protocol begins anew.
func TestReload(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		var old, next []string
		s := start(t, &factory{told: &old, keeps: keeps})
		k := s.Bind("udp://127.0.0.1:53")
		if err := s.Reload(&factory{told: &next, keeps: keeps}); err != nil {
			t.Fatal(err)
		}
		wantOld, wantNext := []string{"start true"}, []string{"restored start true"}
		if !keeps {
			wantOld, wantNext = []string{"start true", "stop replaced by a reload"}, []string{"start true"}
		}
		if !slices.Equal(old, wantOld) || !slices.Equal(next, wantNext) {
			t.Errorf("keeps %t: told %q and %q, wanted %q and %q", keeps, old, next, wantOld, wantNext)
		}
		if k.Receive(six, "a"); len(k.Take()) != 1 {
			t.Errorf("keeps %t: no answer", keeps)
		}
	}
}

// A factory that takes no datagrams closes the socket.
func TestNoBuilder(t *testing.T) {
	s := start(t, wirehost.FactoryFunc(func(*wirehost.Transport) wirehost.Protocol { return nil }))
	k := s.Bind("udp://127.0.0.1:53")
	if reason, ended := k.Ended(); !ended || reason != wirehost.Aborted || len(s.Lines) != 1 {
		t.Errorf("found %v %t, %v; wanted aborted, and a line", reason, ended, s.Lines)
	}
}
