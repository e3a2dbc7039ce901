package guest

import (
	"errors"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// conn is one connection of a guest: the reactor's Protocol on one side, a
// handle on the other. The socket, its output, its pauses and its producer stay
// with it when the guest behind it is replaced.
type conn struct {
	in     *Instance
	t      reactor.Transport
	handle int32

	stage  stage
	from   int32 // the listener's handle; 0 = a configured one
	reason reactor.Reason
	err    error
	held   []byte // written in restoreState, and not yet released
	noted  *Noted // its callbacks; nil = they are not noted

	producing bool // a producer was registered and not unregistered
	gone      bool // stopProducing was told, and is not told again
	handed    bool // to another plugin: nothing but its loss comes
	link      bool // it is a connection to another plugin, and counted as such
}

// stage is how far a connection's life has come.
type stage uint8

const (
	stageBuilding   stage = iota // in buildProtocol
	stageConnecting              // connect was called
	stageOpen
	stageEnding // in connectionLost or clientConnectionFailed
	stageEnded
)

var (
	_ reactor.Protocol          = (*conn)(nil)
	_ reactor.BufferedProtocol  = (*conn)(nil)
	_ reactor.Lander            = (*conn)(nil)
	_ reactor.HalfCloseable     = (*conn)(nil)
	_ reactor.HandshakeListener = (*conn)(nil)
	_ reactor.ClientProtocol    = (*conn)(nil)
	_ reactor.Producer          = (*conn)(nil)
)

// errRefused says that buildProtocol returned another value than 0.
var errRefused = errors.New("the guest refused the connection")

// errDatagramsAlone refuses a connection to a guest that has datagrams alone.
var errDatagramsAlone = errors.New("the module exports no dataReceived: it is for datagrams alone")

// BuildProtocol asks the guest whether it takes a connection, and makes its Protocol.
// On the instance's loop. The error is a *TrapError, or says that the guest refused.
func (i *Instance) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	return i.buildProtocol(t, 0)
}

func (i *Instance) buildProtocol(t reactor.Transport, from int32) (reactor.Protocol, error) {
	if !i.guest.ReceivesConnections() {
		return nil, errDatagramsAlone
	}
	c := &conn{in: i, t: t, handle: i.account.conns.take(), from: from}
	c.note()
	if err := c.build(); err != nil {
		i.account.conns.free(c.handle)
		i.settle()
		return nil, err
	}
	return c, nil
}

func (c *conn) build() error {
	i := c.in
	if i.guest.has[exBuildProtocol] {
		i.cur = c
		i.stack[0] = api.EncodeI32(c.handle)
		ok := i.run(phaseBuild, exBuildProtocol, c.handle)
		i.cur = nil
		if !ok {
			return i.dead
		}
		if api.DecodeI32(i.stack[0]) != 0 {
			return errRefused
		}
	}
	i.conns.add(c)
	i.enterLayer(c.t.Stats().Depth)
	return nil
}

// ConnectionMade tells the guest of its connection, accepted or outgoing.
func (c *conn) ConnectionMade(t reactor.Transport) {
	c.t, c.stage = t, stageOpen
	if i := c.in; i.dead == nil {
		i.callback(exConnectionMade, c.handle)
		return
	}
	c.t.Abort(reactor.ProtocolFailed, c.in.dead)
}

// ReceiveBuffer is in the guest's linear memory.
func (c *conn) ReceiveBuffer() []byte { return c.in.receiveBuffer() }

// LandingBuffer is ReceiveBuffer while no callback of the instance runs, unless it is paged
// out: it would take the cell of the one that runs.
func (c *conn) LandingBuffer() []byte {
	i := c.in
	if i.dead != nil || i.cell == nil || i.phase != phaseIdle {
		return nil
	}
	return i.receiveBuffer()
}

// DataReceived hands over bytes that lie in the receive buffer already.
func (c *conn) DataReceived(p []byte) {
	i := c.in
	if i.dead != nil {
		return
	}
	i.cur = c
	i.stack[0], i.stack[1], i.stack[2] = uint64(uint32(c.handle)), uint64(i.recvPtr), uint64(len(p))
	i.run(phaseRun, exDataReceived, c.handle)
}

// ConnectionLost tells the guest, unless it has trapped, and ends the handle.
func (c *conn) ConnectionLost(reason reactor.Reason, err error) {
	c.stage, c.reason, c.err = stageEnding, reason, err
	i := c.in
	if i.dead == nil {
		i.stack[1] = api.EncodeI32(int32(reason))
		i.callback(exConnectionLost, c.handle)
	}
	c.end()
}

// ConnectionFailed tells the guest that an outgoing connection was not made.
func (c *conn) ConnectionFailed(reason reactor.Reason, err error) {
	c.stage, c.reason, c.err = stageEnding, reason, err
	i := c.in
	if i.dead == nil {
		i.stack[1] = api.EncodeI32(int32(reason))
		i.callback(exClientConnectionFailed, c.handle)
	}
	c.end()
}

// end ends the handle.
func (c *conn) end() {
	i := c.in
	if c.t != nil && c.t.State()&reactor.StateOutgoing != 0 {
		i.out--
	} else if c.t != nil {
		i.leaveLayer(c.t.Stats().Depth)
	}
	c.freeLink()
	c.stage = stageEnded
	if i.cur == c {
		i.cur = nil
	}
	i.conns.remove(c.handle)
	i.account.conns.free(c.handle)
	i.settle()
}

// freeLink counts a connection to another plugin no more.
func (c *conn) freeLink() {
	if c.link {
		c.link = false
		c.in.account.links.Add(-1)
	}
}

// ReadConnectionLost tells a guest that is half-closeable. For any other the
// output is flushed and the connection closes.
func (c *conn) ReadConnectionLost() {
	switch i := c.in; {
	case i.dead != nil:
	case i.guest.has[exReadConnectionLost]:
		i.callback(exReadConnectionLost, c.handle)
	default:
		c.t.LoseConnection()
	}
}

// WriteConnectionLost tells a guest that wants to know.
func (c *conn) WriteConnectionLost() { c.tell(exWriteConnectionLost) }

// HandshakeCompleted tells a guest that wants to know.
func (c *conn) HandshakeCompleted() { c.tell(exHandshakeCompleted) }

// PauseProducing tells the guest's producer.
func (c *conn) PauseProducing() { c.tell(exPauseProducing) }

// ResumeProducing tells the guest's producer.
func (c *conn) ResumeProducing() { c.tell(exResumeProducing) }

// StopProducing tells the guest's producer that the connection is gone.
func (c *conn) StopProducing() {
	c.gone = true
	c.tell(exStopProducing)
}

func (c *conn) tell(e export) {
	if i := c.in; i.dead == nil && i.guest.has[e] {
		i.callback(e, c.handle)
	}
}

// reasonText is the reason with what is known of it.
func (c *conn) reasonText() string {
	text := abi.Reason(c.reason).String()
	if c.err != nil {
		text += ": " + c.err.Error()
	}
	return text
}
