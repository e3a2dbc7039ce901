package pace

import (
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

// loud answers each line with 10 KiB and the line.
type loud struct {
	wirehost.LineOnlyReceiver
	pace  Pace
	lines int
}

var answer = strings.Repeat("x", 10<<10)

func (p *loud) LineReceived(line []byte) {
	p.lines++
	if string(line) == "quit" {
		p.Transport.LoseConnection()
		return
	}
	n, _ := p.Transport.WriteString(answer + string(line) + "\n")
	p.pace.Wrote(n)
}

func (p *loud) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

func (p *loud) RestoreState(_ int32, state []byte) error {
	if _, err := p.LoadState(state); err != nil {
		return err
	}
	return p.pace.Restore()
}

type factory struct{ last *loud }

func (f *factory) BuildProtocol(t *wirehost.Transport) wirehost.Protocol {
	f.last = &loud{}
	f.last.Delimiter = []byte("\n")
	f.last.pace.Init(f.last, t)
	return f.last
}

// begin has 100 lines for a peer that does not read.
func begin(t *testing.T, last string) (*sdktest.Server, *factory, *sdktest.Conn) {
	t.Helper()
	f := &factory{}
	s, err := sdktest.Start(f, sdktest.Options{Stalled: true})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send(strings.Repeat("a\n", 100) + last)
	if got := c.Queued(); got < high || got > high+2*piece+3*len(answer) {
		t.Fatalf("%d bytes are queued, wanted about %d", got, high)
	}
	return s, f, c
}

func drain(t *testing.T, c *sdktest.Conn) {
	t.Helper()
	for n := 0; c.Queued() > 0; n++ {
		if c.Drain(); n > 200 {
			t.Fatal("no end of it")
		}
	}
}

func TestStopsAndGoesOn(t *testing.T) {
	_, f, c := begin(t, "b\nhalf")
	drain(t, c)
	if got := strings.Count(c.Take(), "\n"); got != 101 || f.last.lines != 101 {
		t.Fatalf("found %d answers to %d lines, wanted 101", got, f.last.lines)
	}
	if registered, _ := c.Producer(); registered {
		t.Error("the producer is left")
	}
	c.Send("\n")
	if got := c.Take(); got != answer+"half\n" {
		t.Errorf("found %.80q, wanted the answer to half", got)
	}
}

func TestCloses(t *testing.T) {
	for _, last := range []string{"quit\nb\n", ""} {
		_, f, c := begin(t, last)
		if last == "" {
			c.Finish()
		}
		drain(t, c)
		if r, ended := c.Ended(); !ended || r != wirehost.Done {
			t.Errorf("%q: found %v, %t, wanted done", last, r, ended)
		}
		if got := strings.Count(c.Take(), "\n"); got != 100 {
			t.Errorf("%q: found %d answers of %d lines, wanted 100", last, got, f.last.lines)
		}
	}
}

func TestReload(t *testing.T) {
	s, _, c := begin(t, "")
	next := &factory{}
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	drain(t, c)
	if got := strings.Count(c.Take(), "\n"); got != 100 || next.last.lines == 0 {
		t.Errorf("found %d answers, wanted 100", got)
	}
}

func TestLostWhileStopped(t *testing.T) {
	_, f, c := begin(t, "")
	c.Break(wirehost.Lost)
	if f.last.pace.producer {
		t.Error("it waits on")
	}
}
