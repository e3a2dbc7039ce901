package main

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/wirehost/wirehost/examples/internal/relay"
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// stage is how far a client's connection has come.
type stage byte

const (
	asking     stage = iota // for the WebSocket
	connecting              // to the plugin behind; not read meanwhile
	open
	closing // the client has sent a Close frame: what the plugin behind still says comes before ours
	ended
)

// client is a WebSocket. Calls whose errors are dropped, here and below, fail where the connection
// is lost already, of which ConnectionLost tells.
type client struct {
	relay.Side
	wirehost.TimeoutMixin
	factory *factory
	progress
}

// progress is a client's part of its state.
type progress struct {
	Stage    stage
	Received []byte // the request, as far as it came, and what came behind it too early
	Answer   string // to the request, once there is somebody behind
	Frames   reader
	Farewell []byte // payload of the client's Close frame
	Told     bool   // our Close frame is sent
	Heard    bool   // of the client, since the last ping
}

func (p *client) ConnectionMade() { p.within(p.factory.patience()) }

// within calls TimeoutConnection after d; 0 is never.
func (p *client) within(d time.Duration) {
	if err := p.SetTimeout(d); err != nil {
		_ = p.Reactor().Logf(wirehost.LevelError, "timer: %v", err)
		_ = p.Transport.AbortConnection()
	}
}

// TimeoutConnection ends what takes too long, and asks an open connection for a sign of life.
func (p *client) TimeoutConnection() {
	switch {
	case p.Stage == asking:
		p.refuse(refuse("408 Request Timeout", "found no whole request in time"))
	case p.Stage == open && !p.Told:
		// Who is not read now may have said something, and who has yet to read was not asked.
		state, _ := p.Transport.State()
		if queued, _ := p.Transport.Flush(); !p.Heard && queued == 0 && state&wirehost.StatePaused == 0 {
			_ = p.Transport.AbortConnection()
			return
		}
		p.Heard = false
		p.frame(last|opPing, nil)
		p.within(time.Duration(p.factory.Ping) * time.Second)
	case p.Stage == open || p.Stage == closing: // somebody does not end
		p.end(codeNormal, "")
	}
}

func (p *client) DataReceived(data []byte) {
	p.Heard = true
	if p.Stage == asking {
		p.Received = append(p.Received, data...)
		p.ask()
		return
	}
	p.take(data)
}

// ask reads the request, and connects to the plugin behind.
func (p *client) ask() {
	size := bytes.Index(p.Received, []byte("\r\n\r\n")) + 4
	switch {
	case size < 4 && len(p.Received) < longestHead:
		return
	case size < 4 || size > longestHead:
		p.refuse(refuse("431 Request Header Fields Too Large", "found a request of more than 8 KiB"))
		return
	}
	a := p.factory.config.answer(string(p.Received[:size]))
	if a.status != upgraded {
		p.refuse(a)
		return
	}
	p.Received, p.Answer, p.Stage = slices.Clone(p.Received[size:]), a.String(), connecting
	p.within(0) // connecting has its own time
	_ = p.Transport.PauseProducing()
	out := &behind{factory: p.factory}
	if _, err := p.Reactor().ConnectAs(p.Transport, p.factory.Behind, p.factory.patience(), out); err != nil {
		_ = p.Reactor().Logf(wirehost.LevelError, "connect to %s: %v", p.factory.Behind, err)
		p.failed(codeInternal, "found nobody behind")
		return
	}
	relay.Link(p, out)
}

// refuse ends a connection that is no WebSocket.
func (p *client) refuse(a answer) {
	p.Stage, p.Received = ended, nil
	_, _ = p.Transport.WriteString(a.String())
	_ = p.Transport.LoseConnection()
}

// failed answers the request, and says why there is nobody behind: a browser shows its page no
// status of an answer, but a Close frame's code.
func (p *client) failed(code uint16, why string) {
	_, _ = p.Transport.WriteString(p.Answer)
	p.end(code, why)
}

// begin is called when the plugin behind is there.
func (p *client) begin() {
	_, _ = p.Transport.WriteString(p.Answer)
	early := p.Received
	p.Stage, p.Answer, p.Received, p.Heard = open, "", nil, true
	p.within(time.Duration(p.factory.Ping) * time.Second)
	p.take(early)
}

// take takes frames apart.
func (p *client) take(data []byte) {
	if p.Stage != open {
		return
	}
	if f := p.Frames.take(data, uint64(p.factory.Most), p); f != nil {
		p.abort(f.code, f.text)
	}
}

// piece passes a part of a message on.
func (p *client) piece(first byte, b []byte) {
	if o := p.Other(); o != nil {
		_ = o.(*behind).Transport.WriteSequence(p.factory.Messages.parts(first, b)...)
	}
}

func (p *client) ping(payload []byte) { p.frame(last|opPong, payload) }

// closed has the plugin behind end its side, too, for which it has some time. Its ConnectionLost
// does the rest.
func (p *client) closed(payload []byte) {
	p.Farewell, p.Stage = slices.Clone(payload), closing
	p.within(p.factory.patience())
	p.Side.ReadConnectionLost()
}

// frame writes one, unless ours that closes is written.
func (p *client) frame(first byte, payload []byte) {
	if !p.Told {
		_ = p.Transport.WriteSequence(appendHead(make([]byte, 0, 10), first, len(payload)), payload)
	}
}

// tell writes our Close frame: the answer to the client's, where there is one.
func (p *client) tell(code uint16, why string) {
	payload := p.Farewell
	if p.Stage != closing {
		payload = append(binary.BigEndian.AppendUint16(nil, code), why...)
	}
	p.frame(last|opClose, payload)
	p.Told = true
}

// end closes both connections, in order.
func (p *client) end(code uint16, why string) {
	p.finish(code, why)
	p.close((*wirehost.Transport).LoseConnection)
}

// abort is end, but that the stream to the plugin behind is not whole.
func (p *client) abort(code uint16, why string) {
	p.finish(code, why)
	p.cut()
}

// finish says the last word.
func (p *client) finish(code uint16, why string) {
	p.tell(code, why)
	p.Stage = ended
	p.within(0)
}

// ReadConnectionLost without a Close frame is a stream that is cut.
func (p *client) ReadConnectionLost() {
	if p.Stage != closing && p.Stage != ended {
		p.cut()
	}
}

// ConnectionLost, too.
func (p *client) ConnectionLost(wirehost.Reason) { p.cut() }

func (p *client) cut() { p.close((*wirehost.Transport).AbortConnection) }

// close closes the connection, and in some way that to the plugin behind.
func (p *client) close(behindBy func(*wirehost.Transport) error) {
	if o := p.Other(); o != nil {
		p.Unlink()
		out := o.(*behind).Transport
		_ = out.UnregisterProducer()
		_ = behindBy(out)
	}
	_ = p.Transport.UnregisterProducer()
	_ = p.Transport.LoseConnection()
}
