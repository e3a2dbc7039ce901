package reactor_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// answering is a DatagramProtocol that sends back what came.
type answering struct {
	s   *reactor.DatagramSocket
	buf []byte
}

func (p *answering) StartProtocol(s *reactor.DatagramSocket) { p.s = s }
func (p *answering) StopProtocol(reactor.Reason, error)      {}
func (p *answering) ReceiveBuffer() []byte                   { return p.buf }
func (p *answering) ConnectionRefused()                      {}

func (p *answering) DatagramsReceived(records []byte, n int) {
	_, _ = p.s.Send(records, n) // the peer sees what is missing
}

// steppedPort is a reactor that is to be stepped, with a port that answers.
func steppedPort(t testing.TB, cfg reactor.Config, host string) (*reactor.Reactor, *reactor.DatagramPort) {
	t.Helper()
	cfg.Loops = 1
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	port, err := r.ListenDatagrams(reactor.Endpoint{Scheme: "udp", Host: host},
		func(*reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
			return &answering{buf: make([]byte, 64<<10)}, nil
		}, reactor.DatagramOptions{PerPeer: reactor.PeerLimits{DatagramsPerSecond: 1e9}})
	if err != nil {
		t.Fatal(err)
	}
	if err := port.Start(); err != nil {
		t.Fatal(err)
	}
	for r.Step() {
	}
	return r, port
}

// A batch allocates nothing, on a socket that has all addresses and counts its sources.
func TestDatagramBatchAllocatesNothing(t *testing.T) {
	if !reactor.HasEpoll {
		t.Skip("the portable backend allocates")
	}
	r, port := steppedPort(t, reactor.Config{Backend: "epoll"}, "")
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port.Endpoint().Port))
	c, err := net.DialUDP("udp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(1000, func() {
		for range 10 {
			if _, err := c.Write(buf); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			if _, err := c.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("found %v allocations a batch", n)
	}
}

// BenchmarkDatagrams is a turn in which a batch is answered: the loop's own cost, with
// that of the network in memory.
func BenchmarkDatagrams(b *testing.B) {
	sys := memnet.New(memnet.Options{})
	r, port := steppedPort(b, reactor.Config{Sys: sys}, "127.0.0.1")
	p, err := sys.DatagramPeer("udp", "10.0.0.7:0")
	if err != nil {
		b.Fatal(err)
	}
	to := addressOf(port.Endpoint())
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		for range 32 {
			if err := p.Send(to, buf); err != nil {
				b.Fatal(err)
			}
		}
		for r.Step() {
		}
		for range 32 {
			if _, err := p.Receive(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func addressOf(ep reactor.Endpoint) string { return ep.String()[len("udp://"):] }
