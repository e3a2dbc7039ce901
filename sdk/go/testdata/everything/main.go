// Command everything is a guest that calls all that the SDK has, so that its
// module imports all that the SDK imports.
package main

import (
	"net/netip"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/datagram"
)

type everything struct {
	wirehost.Base
	wirehost.TimeoutMixin
	sender wirehost.FileSender
}

func (p *everything) ConnectionMade() {
	t, r := p.Transport, p.Reactor()
	p.log(t.WriteSequence([]byte("a"), []byte("b")))
	p.log(t.PauseProducing())
	p.log(t.ResumeProducing())
	p.log(p.sender.BeginFileTransfer(strings.NewReader("c"), t, func(err error) { p.log(err) }))
	p.log(t.SetTimeout(1))
	p.log(t.SetTCPNoDelay(true))
	p.log(t.SetTCPKeepAlive(true))
	p.log(t.StartTLS())
	p.log(t.StartTLSClient("localhost"))
	p.log(t.HandOver("other", nil))
	for _, get := range []func() (string, error){t.Peer, t.Host, t.NegotiatedProtocol} {
		text, err := get()
		p.log(err)
		p.log(r.Log(wirehost.LevelInfo, text))
	}
	_, err := t.PeerCertificate()
	p.log(err)
	p.log(p.SetTimeout(1))
	p.log(r.Random([]byte(r.Time().String())))
	m, err := r.Metric(wirehost.Counter, "everything_total")
	p.log(err)
	p.log(m.Record(1))
	page, err := r.Assets().ReadFile("a")
	p.log(err)
	_, err = t.Write(page)
	p.log(err)
	port, err := r.Listen("tcp://127.0.0.1:0", p.Factory)
	p.log(err)
	_, err = port.Host()
	p.log(err)
	p.log(port.StopListening())
	_, err = t.Listener()
	p.log(err)
	_, err = r.ConnectAs(t, "plugin://next", 1, p)
	p.log(err)
	_, err = r.Connect("tcp://127.0.0.1:1", 1, p)
	p.log(err)
	_, err = datagram.Open(r, "udp://127.0.0.1:1", new(datagrams))
	p.log(err)
	p.log(t.LoseWriteConnection())
	if r.Seconds() > 0 {
		p.log(t.AbortConnection())
	}
	p.log(t.LoseConnection())
}

func (p *everything) DataReceived(data []byte) { p.log(p.ResetTimeout()) }

func (p *everything) ConnectionLost(wirehost.Reason) {
	_, err := p.Transport.ReasonText()
	p.log(err)
}

func (p *everything) ClientConnectionFailed(wirehost.Reason) {}

func (p *everything) log(err error) {
	if err != nil {
		_ = p.Reactor().Logf(wirehost.LevelWarn, "%v", err)
	}
}

type datagrams struct{ datagram.Base }

func (p *datagrams) DatagramReceived(data []byte, from netip.AddrPort) {
	t := p.Transport
	for _, err := range []error{
		t.Write(data, from), t.JoinGroup("239.1.2.3"), t.LeaveGroup("239.1.2.3"),
		t.SetDatagramOption(wirehost.MulticastHops, t.Dropped()),
	} {
		if err != nil {
			_ = p.Reactor().Log(wirehost.LevelWarn, err.Error())
		}
	}
}

type factory struct{}

func (factory) BuildDatagramProtocol(t *wirehost.Transport) wirehost.Protocol {
	return datagram.New(t, new(datagrams))
}

func (factory) StartFactory(r *wirehost.Reactor) error {
	var v struct{}
	return r.Config(&v)
}

func (factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return new(everything) }

func init() { wirehost.Register(factory{}) }

func main() {}
