package reactortest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// DatagramBackend is a kind of datagram socket, for DatagramSuite.
type DatagramBackend struct {
	// New makes a reactor that is started; it ends with the test.
	New func(*testing.T) *reactor.Reactor
	// Dial makes a client of a socket at address; it ends with the test.
	Dial func(t *testing.T, network, address string) DatagramClient
	Unix bool // unixgram
	// Column is where it stands in PROMISES.md.
	Column Column
	// Limit has sends find the system's buffer full after so many of a batch; nil where
	// that can't be done.
	Limit func(n int)
	// Group sends a datagram to a multicast group, from a machine that is in the network of
	// the interface that Zone names, such as %lo; nil where there is no network for that.
	Group func(t *testing.T, group string, port uint16, payload []byte) error
	Zone  string
	// Ahead is set where datagrams are read ahead: a batch is what has come by then.
	Ahead bool
}

// DatagramClient is the other end.
type DatagramClient interface {
	Send(payload []byte) error
	Receive() ([]byte, error) // waits; an answer from another address than was sent to is none
}

// datagramRig is a port with one scripted protocol, and what a row may do with it.
type datagramRig struct {
	*testing.T
	b      DatagramBackend
	r      *reactor.Reactor
	port   *reactor.DatagramPort
	p      *datagramScript
	client DatagramClient
	host   string // where it is bound; "" = 127.0.0.1
}

// datagramScript is a DatagramProtocol that notes what it is told, and does what a row has
// put in got, on the loop.
type datagramScript struct {
	s      *reactor.DatagramSocket
	buf    []byte
	events chan string
	got    func(reactor.Datagram)
}

func (p *datagramScript) StartProtocol(s *reactor.DatagramSocket) {
	p.s = s
	p.events <- "start"
}
func (p *datagramScript) StopProtocol(r reactor.Reason, _ error) { p.events <- "stop: " + r.String() }
func (p *datagramScript) ReceiveBuffer() []byte                  { return p.buf }
func (p *datagramScript) ConnectionRefused()                     { p.events <- "refused" }

func (p *datagramScript) DatagramsReceived(records []byte, n int) {
	var texts []string
	var list []reactor.Datagram
	for range n {
		d, rest, err := reactor.NextDatagram(records)
		if err != nil {
			p.events <- err.Error()
			return
		}
		text := shortened(d.Payload)
		if d.Cut {
			text += " (cut)"
		}
		texts, list, records = append(texts, text), append(list, d), rest
	}
	if len(records) > 0 {
		texts = append(texts, fmt.Sprintf("and %d bytes", len(records)))
	}
	p.events <- strings.Join(texts, ", ")
	for _, d := range list {
		if p.got != nil {
			p.got(d)
		}
	}
}

// shortened is a payload as a row names it: all of it, or how long it is.
func shortened(p []byte) string {
	if len(p) > 16 {
		return fmt.Sprintf("%d bytes", len(p))
	}
	return string(p)
}

func (g *datagramRig) echo(d reactor.Datagram) {
	if n, err := g.p.s.Send(reactor.AppendDatagram(nil, d), 1); n != 1 || err != nil {
		g.p.events <- fmt.Sprintf("sent %d, %v", n, err)
	}
}

func newDatagramScript() *datagramScript {
	return &datagramScript{buf: make([]byte, 64<<10), events: make(chan string, 1000)}
}

// want fails unless these come next.
func (g *datagramRig) want(events ...string) {
	g.Helper()
	for _, want := range events {
		if found := g.next(); found != want {
			g.Fatalf("found %q, wanted %q", found, want)
		}
	}
}

func (g *datagramRig) next() string {
	g.Helper()
	select {
	case e := <-g.p.events:
		return e
	case <-time.After(time.Minute):
		g.Fatal("nothing came")
		return ""
	}
}

// wantAll is want for datagrams that may come in several batches.
func (g *datagramRig) wantAll(payloads ...string) {
	g.Helper()
	var found []string
	for len(found) < len(payloads) {
		found = append(found, strings.Split(g.next(), ", ")...)
	}
	if !slices.Equal(found, payloads) {
		g.Fatalf("found %q, wanted %q", found, payloads)
	}
}

// quiet fails if something was told since.
func (g *datagramRig) quiet() {
	g.Helper()
	g.onLoop(func() {})
	g.onLoop(func() {})
	select {
	case e := <-g.p.events:
		g.Fatalf("found %q, wanted nothing", e)
	default:
	}
}

// onLoop runs fn on the loop.
func (g *datagramRig) onLoop(fn func()) {
	g.Helper()
	done := make(chan struct{})
	if err := g.r.Loops()[0].CallFromThread(func() { defer close(done); fn() }); err != nil {
		g.Fatal(err)
	}
	<-done
}

func (g *datagramRig) send(payloads ...string) {
	g.Helper()
	for _, text := range payloads {
		if err := g.client.Send([]byte(text)); err != nil {
			g.Fatal(err)
		}
	}
}

func (g *datagramRig) receive(want string) {
	g.Helper()
	found, err := g.client.Receive()
	if err != nil || string(found) != want {
		g.Fatalf("found %q, %v, wanted %q", shortened(found), err, shortened([]byte(want)))
	}
}

// held has datagrams come together: it sends them while the socket is paused.
func (g *datagramRig) held(payloads ...string) {
	g.Helper()
	g.onLoop(g.p.s.PauseProducing)
	g.send(payloads...)
	g.onLoop(g.p.s.ResumeProducing)
}

func (g *datagramRig) network() string {
	if g.b.Unix {
		return "unixgram"
	}
	return "udp"
}

// serve starts the port.
func (g *datagramRig) serve(o reactor.DatagramOptions) {
	g.Helper()
	ep := reactor.Endpoint{Scheme: "udp", Host: cmp.Or(g.host, "127.0.0.1")}
	if g.b.Unix {
		ep = reactor.Endpoint{Scheme: "unixgram", Path: shortPath(g.T)}
	}
	g.p = newDatagramScript()
	g.r = g.b.New(g.T)
	var err error
	g.port, err = g.r.ListenDatagrams(ep, func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
		return g.p, nil
	}, o)
	if err != nil {
		g.Fatal(err)
	}
	if err := g.port.Start(); err != nil {
		g.Fatal(err)
	}
	g.want("start")
	g.client = g.b.Dial(g.T, g.network(), addressOf(g.port.Endpoint()))
}

// shortPath is a path for a socket: a test's own folder can be too long for one.
func shortPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sys")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func addressOf(ep reactor.Endpoint) string {
	if ep.Path != "" {
		return ep.Path
	}
	return fmt.Sprintf("%s:%d", ep.Host, ep.Port)
}
