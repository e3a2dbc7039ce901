// Command starttls writes back every line, and begins TLS after "tls", after the
// raw bytes "tls" that follow "raw", and a moment after "pause".
package main

import (
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

type lines struct{ wirehost.LineReceiver }

// begin is of a listener that has a certificate. What the server answers a write
// with, ConnectionLost tells too.
func (p *lines) begin() {
	_ = p.SendLine([]byte("go"))
	_ = p.Transport.StartTLS()
}

func (p *lines) LineReceived(line []byte) {
	switch string(line) {
	case "tls":
		p.begin()
	case "raw":
		p.SetRawMode()
	case "pause":
		_ = p.PauseProducing()
		_, _ = p.Reactor().CallLater(time.Millisecond, p.begin)
	default:
		_ = p.SendLine(line)
	}
}

func (p *lines) RawDataReceived(data []byte) {
	p.begin()
	p.SetLineMode(data[3:])
}

func (p *lines) HandshakeCompleted() {
	_ = p.SendLine([]byte("up"))
	_ = p.ResumeProducing()
}

func build(*wirehost.Transport) wirehost.Protocol { return new(lines) }

func init() { wirehost.Register(wirehost.FactoryFunc(build)) }

func main() {}
