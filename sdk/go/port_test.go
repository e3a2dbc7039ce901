package wirehost_test

import (
	"encoding/binary"
	"errors"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// greeter is a factory whose protocols say a word and who built them. Its state is the handle of
// its listener.
type greeter struct {
	word   string
	atOnce string // an endpoint to listen at from the start
	port   *wirehost.Port

	reactor *wirehost.Reactor
}

func (f *greeter) StartFactory(r *wirehost.Reactor) (err error) {
	f.reactor = r
	if f.atOnce != "" {
		f.port, err = r.Listen(f.atOnce, &greeter{word: f.word + " at once"})
	}
	return err
}

func (f *greeter) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return &greeting{factory: f} }

type greeting struct {
	wirehost.Base
	factory *greeter
}

func (p *greeting) ConnectionMade() { p.say("hello") }

// DataReceived has the endpoint to listen at, or nothing more to say.
func (p *greeting) DataReceived(data []byte) {
	if len(data) == 1 {
		p.say("again")
		return
	}
	port, err := p.Reactor().Listen(string(data), &greeter{word: "passive"})
	if err != nil {
		p.Transport.WriteString(err.Error())
		return
	}
	p.factory.port = port
	host, err := port.Host()
	if err != nil {
		host = err.Error()
	}
	p.Transport.WriteString(host)
}

func (p *greeting) say(word string) {
	built, _ := p.Factory.(*greeter)
	p.Transport.WriteString(word + " from " + built.word)
}

func (p *greeting) SaveState() ([]byte, bool)        { return nil, true }
func (p *greeting) RestoreState(int32, []byte) error { return nil }

func (f *greeter) SaveState() ([]byte, bool) {
	if f.port == nil || f.atOnce != "" {
		return nil, false
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(f.port.Handle())), true
}

func (f *greeter) RestoreState(_ int32, state []byte) error {
	f.port = f.reactor.RestorePort(int32(binary.LittleEndian.Uint32(state)), &greeter{word: "restored"})
	return nil
}

func startGreeter(t *testing.T, f *greeter, o sdktest.Options) *sdktest.Server {
	t.Helper()
	s, err := sdktest.Start(f, o)
	must(t, err)
	return s
}

func wants(t *testing.T, c *sdktest.Conn, want string) {
	t.Helper()
	if c == nil {
		t.Fatalf("refused, wanted %q", want)
	}
	if got := c.Take(); got != want {
		t.Errorf("found %q, wanted %q", got, want)
	}
}

// Each listener's connections get their protocols from the factory that was given with it.
func TestPort(t *testing.T) {
	f := &greeter{word: "main"}
	s := startGreeter(t, f, sdktest.Options{})
	c := s.Accept()
	wants(t, c, "hello from main")
	c.Send("tcp://127.0.0.1:0")
	wants(t, c, "tcp://127.0.0.1:40001")
	port := s.Ports()[0]
	wants(t, port.Accept(), "hello from passive")
	wants(t, s.Accept(), "hello from main")

	c.Send("tcp://127.0.0.1:40001")
	wants(t, c, wirehost.ErrBusy.Error())
	c.Send("http://127.0.0.1:1")
	wants(t, c, wirehost.ErrInvalid.Error())
	c.Send("tls://127.0.0.1:1")
	wants(t, c, wirehost.ErrNotSupported.Error()) // there is no certificate

	stays := port.Accept()
	stays.Take()
	must(t, f.port.StopListening())
	if port.Accept() != nil || len(s.Ports()) > 0 {
		t.Error("stopped, it takes in connections")
	}
	stays.Send("x")
	wants(t, stays, "again from passive")
	if err := f.port.StopListening(); !errors.Is(err, wirehost.ErrNoConnection) {
		t.Errorf("stopped again: found %v", err)
	}
}

func TestPortNotAllowed(t *testing.T) {
	s := startGreeter(t, &greeter{word: "main"}, sdktest.Options{Deny: true})
	c := s.Accept()
	c.Take()
	c.Send("tcp://127.0.0.1:0")
	wants(t, c, wirehost.ErrNotAllowed.Error())
	if _, err := sdktest.Start(&greeter{atOnce: "tcp://127.0.0.1:0"}, sdktest.Options{Deny: true}); err == nil {
		t.Error("the factory started")
	}
}

// A listener moves in a reload with its connections: by its handle, or by its address where the
// new version listens from the start. Nobody's are the registered factory's.
func TestPortMoves(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new *greeter
		want     string
	}{
		{"by its handle", &greeter{word: "old"}, &greeter{word: "new"}, "restored"},
		{"by its address", &greeter{word: "old", atOnce: "tcp://127.0.0.1:0"},
			&greeter{word: "new", atOnce: "tcp://127.0.0.1:0"}, "new at once"},
		{"nobody's", &greeter{word: "old", atOnce: "tcp://127.0.0.1:7"}, &greeter{word: "new"}, "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startGreeter(t, c.old, sdktest.Options{})
			main := s.Accept()
			main.Take()
			if c.old.atOnce == "" {
				main.Send("tcp://127.0.0.1:0")
				main.Take()
			}
			port := s.Ports()[0]
			stays := port.Accept()
			stays.Take()
			must(t, s.Reload(c.new))
			if len(s.Ports()) != 1 {
				t.Errorf("found %d listeners, wanted 1", len(s.Ports()))
			}
			stays.Send("x")
			wants(t, stays, "again from "+c.want)
			wants(t, port.Accept(), "hello from "+c.want)
			main.Send("x")
			wants(t, main, "again from new")
		})
	}
}

// What a version that does not start has opened is closed, and what it asked for stays.
func TestPortOfAFailedReload(t *testing.T) {
	f := &greeter{word: "old", atOnce: "tcp://127.0.0.1:7"}
	s := startGreeter(t, f, sdktest.Options{})
	next := &refusing{}
	if err := s.Reload(next); err == nil || len(next.stopped) != 2 {
		t.Fatalf("the new version has stopped %v, and said %v", next.stopped, err)
	}
	if next.stopped[0] != wirehost.ErrNotNow || next.stopped[1] != nil {
		t.Errorf("stopListening of what moves, and of its own: found %v", next.stopped)
	}
	if ports := s.Ports(); len(ports) != 1 {
		t.Fatalf("found %d listeners, wanted the old one's", len(ports))
	}
	wants(t, s.Ports()[0].Accept(), "hello from old at once")
}

// refusing listens, and does not start. What it has listened on itself it may stop, and what is
// to move to it, it may not yet.
type refusing struct {
	greeter
	stopped []error
}

func (f *refusing) StartFactory(r *wirehost.Reactor) error {
	moves, err := r.Listen("tcp://127.0.0.1:7", f)
	if err != nil {
		return err
	}
	own, err := r.Listen("tcp://127.0.0.1:8", f)
	if err != nil {
		return err
	}
	f.stopped = []error{moves.StopListening(), own.StopListening()}
	return errors.New("not today")
}

// In a restore nothing is opened: it may come to nothing.
func TestPortInRestore(t *testing.T) {
	s := startGreeter(t, &greeter{word: "old"}, sdktest.Options{})
	c := s.Accept()
	c.Send("tcp://127.0.0.1:7") // for a state
	next := &late{}
	must(t, s.Reload(next))
	if !errors.Is(next.err, wirehost.ErrNotNow) || len(s.Ports()) != 1 {
		t.Errorf("found %v, %d listeners", next.err, len(s.Ports()))
	}
}

// late listens in RestoreState.
type late struct {
	greeter
	err error
}

func (f *late) RestoreState(int32, []byte) error {
	_, f.err = f.reactor.Listen("tcp://127.0.0.1:8", f)
	return nil
}

// A connection of ConnectAs knows on whose behalf it is.
func TestConnectAs(t *testing.T) {
	var err error
	s, c := open(t, &probe{data: func(p *probe, _ []byte) {
		_, err = p.Reactor().ConnectAs(p.Transport, "plugin://next", 0, &client{})
	}}, sdktest.Options{})
	c.Send("x")
	must(t, err)
	if made := s.Outgoing(); len(made) != 1 || made[0].As != c || made[0].Endpoint != "plugin://next" {
		t.Errorf("found %d connections that are being made", len(made))
	}
}
