package wirehost_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// transfer sends from a reader in ConnectionMade and closes when it is done.
type transfer struct {
	wirehost.Base
	sender wirehost.FileSender
	from   io.Reader
	done   []error
}

func (p *transfer) ConnectionMade() {
	err := p.sender.BeginFileTransfer(p.from, p.Transport, func(err error) {
		p.done = append(p.done, err)
	})
	if err != nil {
		p.done = append(p.done, err)
	}
	_ = p.Transport.LoseConnection() // waits for the producer
}

func TestFileSender(t *testing.T) {
	text := strings.Repeat("0123456789", 10000)
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		from  io.Reader
		chunk int
		with  func([]byte) []byte
		want  string
		err   error
	}{
		{"empty", strings.NewReader(""), 0, nil, "", nil},
		{"one piece", strings.NewReader("abc"), 0, nil, "abc", nil},
		{"pieces", strings.NewReader(text), 0, nil, text, nil},
		{"small pieces", strings.NewReader("abcdefg"), 3, nil, "abcdefg", nil},
		{"byte by byte", iotest.OneByteReader(strings.NewReader("abc")), 0, nil, "abc", nil},
		{"data and EOF at once", iotest.DataErrReader(strings.NewReader("abc")), 0, nil, "abc", nil},
		{"broken", io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), 0, nil, "ab", broken},
		{"transform", strings.NewReader("abc"), 1, bytes.ToUpper, "ABC", nil},
		{"transform to nothing", strings.NewReader("a.b"), 1, func(b []byte) []byte { return bytes.Trim(b, ".") }, "ab",
			nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &transfer{from: c.from}
			p.sender.ChunkSize, p.sender.Transform = c.chunk, c.with
			s, err := sdktest.Start(factoryOf(func() wirehost.Protocol { return p }), sdktest.Options{Stalled: true})
			if err != nil {
				t.Fatal(err)
			}
			conn := s.Accept()
			for turns := 0; ; turns++ {
				if _, ended := conn.Ended(); ended || turns > 100 {
					break
				}
				if most := 16 << 10; conn.Queued() > most {
					t.Fatalf("found %d bytes queued, wanted one piece", conn.Queued())
				}
				conn.Drain()
			}
			if got := conn.Output(); len(p.done) != 1 || !errors.Is(p.done[0], c.err) || got != c.want {
				t.Errorf("found %d bytes and done %v, wanted %d bytes and %v", len(got), p.done, len(c.want), c.err)
			}
		})
	}
}

// A peer that goes away ends the transfer with ErrConsumerGone.
func TestFileSenderConsumerGone(t *testing.T) {
	p := &transfer{from: strings.NewReader(strings.Repeat("x", 100000))}
	_, c := open(t, p, sdktest.Options{Stalled: true})
	c.Break(wirehost.Lost)
	if len(p.done) != 1 || p.done[0] != wirehost.ErrConsumerGone {
		t.Errorf("found %v", p.done)
	}
}

// One transfer at a time; after it, the next.
func TestFileSenderBusy(t *testing.T) {
	var sender wirehost.FileSender
	var again error
	s, c := open(t, &probe{
		data: func(p *probe, data []byte) {
			must(t, sender.BeginFileTransfer(bytes.NewReader(bytes.Clone(data)), p.Transport, nil))
			again = sender.BeginFileTransfer(strings.NewReader("z"), p.Transport, nil)
		},
	}, sdktest.Options{})
	for range 2 {
		c.Send("abc")
		if again != wirehost.ErrBusy || c.Take() != "abc" {
			t.Errorf("found %v for a second transfer", again)
		}
	}
	if registered, _ := c.Producer(); registered || len(s.Lines) > 0 {
		t.Errorf("found a producer left %t, log %v", registered, s.Lines)
	}
}

// push is a push producer that notes what it is told.
type push struct {
	probe
	told string
}

func (p *push) PauseProducing()  { p.told += "pause " }
func (p *push) ResumeProducing() { p.told += "resume " }
func (p *push) StopProducing()   { p.told += "stop " }

func TestPushProducer(t *testing.T) {
	p := &push{}
	p.made = func(*probe) { must(t, p.Transport.RegisterProducer(p, true)) }
	p.data = func(_ *probe, data []byte) { _, _ = p.Transport.Write(data) }
	_, c := open(t, p, sdktest.Options{Stalled: true, High: 10, Low: 5})
	c.Send("0123456789")
	if p.told != "" {
		t.Errorf("at high water: found %q", p.told)
	}
	c.Send("x")
	c.Drain()
	c.Send("0123456789x")
	c.Break(wirehost.Lost)
	if p.told != "pause resume pause stop " {
		t.Errorf("found %q", p.told)
	}
}

// closing waits for the producer, and sends what that writes till it is done.
func TestCloseWaitsForProducer(t *testing.T) {
	for name, end := range map[string]func(*wirehost.Transport) error{
		"LoseConnection":      (*wirehost.Transport).LoseConnection,
		"LoseWriteConnection": (*wirehost.Transport).LoseWriteConnection,
	} {
		p := &push{}
		p.made = func(*probe) {
			must(t, p.Transport.RegisterProducer(p, true))
			must(t, end(p.Transport))
			_, _ = p.Reactor().CallLater(time.Second, func() {
				_, _ = p.Transport.WriteString("last")
				must(t, p.Transport.UnregisterProducer())
				_, _ = p.Transport.WriteString("dropped")
			})
		}
		s, c := open(t, p, sdktest.Options{})
		if _, ended := c.Ended(); ended {
			t.Errorf("%s: did not wait", name)
		}
		s.Advance(time.Second)
		c.Finish()
		if reason, ended := c.Ended(); !ended || reason != wirehost.Done || c.Output() != "last" {
			t.Errorf("%s: found ended %t, %v, output %q", name, ended, reason, c.Output())
		}
	}
}

// A producer's registration moves in a reload.
func TestRestoreProducer(t *testing.T) {
	old, next := &movingPush{}, &movingPush{}
	old.made = func(*probe) { must(t, old.Transport.RegisterProducer(old, true)) }
	s, c := open(t, old, sdktest.Options{})
	must(t, s.Reload(factoryOf(func() wirehost.Protocol { return next })))
	c.Break(wirehost.Lost)
	if old.told != "" || next.told != "stop " || next.err != nil {
		t.Errorf("found %q told to the old one, %q to the new, %v", old.told, next.told, next.err)
	}
	none := &movingPush{}
	s, _ = open(t, none, sdktest.Options{})
	must(t, s.Reload(factoryOf(func() wirehost.Protocol { return next })))
	if next.err != wirehost.ErrInvalid {
		t.Errorf("no producer: found %v", next.err)
	}
}

type movingPush struct {
	push
	err error
}

func (p *movingPush) SaveState() ([]byte, bool) { return nil, true }
func (p *movingPush) RestoreState(int32, []byte) error {
	p.err = p.Transport.RestoreProducer(p)
	return nil
}

// What one peer does not take is not read from the other.
func TestReading(t *testing.T) {
	var pair []*probe
	f := factoryOf(func() wirehost.Protocol {
		p := &probe{}
		pair = append(pair, p)
		return p
	})
	s, err := sdktest.Start(f, sdktest.Options{High: 10, Low: 5})
	if err != nil {
		t.Fatal(err)
	}
	from, to := s.Accept(), s.Accept()
	a, b := pair[0], pair[1]
	a.data = func(_ *probe, data []byte) { _, _ = b.Transport.Write(data) }
	_, err = a.Reactor().CallLater(0, func() { must(t, b.Transport.RegisterProducer(a.Transport.Reading(), true)) })
	must(t, err)
	s.Advance(0)
	to.Stall()
	from.Send("0123456789x")
	from.Send("more")
	if from.State()&wirehost.StatePaused == 0 || to.Output() != "0123456789x" {
		t.Errorf("above high water: found state %b, output %q", from.State(), to.Output())
	}
	to.Drain()
	if from.State()&wirehost.StatePaused != 0 || to.Output() != "0123456789xmore" {
		t.Errorf("drained: found state %b, output %q", from.State(), to.Output())
	}
	to.Break(wirehost.Lost)
	if _, ended := from.Ended(); !ended {
		t.Error("the other end is gone: found this one open")
	}
}
