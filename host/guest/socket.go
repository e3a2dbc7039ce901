package guest

import (
	"net/netip"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// Socket is a datagram socket of a guest: the reactor's DatagramProtocol on one side, a
// handle on the other. One that the guest has opened ends with its instance; one that is
// configured has an owner, who gives it another instance then. It is its loop's.
type Socket struct {
	owner  SocketOwner // nil: the guest has opened it
	in     *Instance   // nil: a configured one has none now
	d      *reactor.DatagramSocket
	handle int32 // 0 = it has none now

	stage  stage
	reason reactor.Reason
	err    error
	to     reactor.Endpoint // of one that the guest has opened
	opened time.Duration    // of one that the guest has opened: when it was there, by its loop; 0 = it is not yet
	told   bool             // its instance has got datagrams
	kept   *Account         // whose the handle is while it has no instance; nil = it has none
	anew   bool             // in a move: its state does not move
	facts  *socketFacts     // of one that is restored from a sample, in place of d; else nil
}

// SocketOwner is told of a configured socket, on its loop.
type SocketOwner interface {
	// Started says that the socket is bound: it wants an instance.
	Started()
	// Lost says that its instance has ended; early: before it got any datagram. No instance
	// may be begun inside of it.
	Lost(early bool)
	// Stopped says that the socket is closed.
	Stopped()
	// Dropped says that it was adopted from another process, and is that one's after all.
	Dropped()
}

var _ reactor.DatagramProtocol = (*Socket)(nil)

// NewSocket makes the protocol of a configured socket. On its loop.
func NewSocket(owner SocketOwner) *Socket { return &Socket{owner: owner} }

// ChangePlugin has a socket without an instance be another plugin's, whose time it takes, that
// of a share: what the one before has joined and set is undone. On its loop.
func (s *Socket) ChangePlugin(share *reactor.Share) {
	s.d.SetShare(share)
	s.d.Reset()
}

// Instance is the one that has the socket, or nil.
func (s *Socket) Instance() *Instance { return s.in }

// Begin gives a configured socket that has no instance to one that was committed, which is
// told. Meanwhile datagrams have waited. Where that one has trapped since, the owner is told.
// On its loop.
func (s *Socket) Begin(i *Instance) {
	if s.kept != i.account {
		s.freeKept()
	}
	if i.dead != nil {
		s.freeKept()
		s.owner.Lost(true)
		return
	}
	if s.kept = nil; s.handle == 0 {
		s.handle = i.account.conns.take()
	}
	s.in, s.stage, s.told = i, stageOpen, false
	i.addSocket(s)
	s.d.ResumeProducing()
	i.tellSocket(exStartProtocol, s)
}

// Leave takes the socket from its instance, which is told the reason; datagrams wait until
// the next Begin, which gives the same handle where keep is set. On its loop.
func (s *Socket) Leave(reason reactor.Reason, keep bool) {
	i := s.in
	if i == nil {
		if !keep {
			s.freeKept()
		}
		return
	}
	s.d.PauseProducing()
	s.stage, s.reason, s.err = stageEnding, reason, nil
	i.stack[1] = api.EncodeI32(int32(reason))
	i.tellSocket(exStopProtocol, s)
	if s.in == nil { // it trapped
		return
	}
	s.in = nil
	i.removeSocket(s)
	if keep {
		s.kept = i.account
	} else {
		s.freeHandle(i)
	}
	i.settle()
}

// freeKept gives back the handle that Leave has kept.
func (s *Socket) freeKept() {
	if s.kept != nil {
		s.kept.conns.free(s.handle)
		s.kept, s.handle = nil, 0
	}
}

func (s *Socket) freeHandle(i *Instance) {
	i.account.conns.free(s.handle)
	s.handle = 0
}

// StartProtocol tells the guest, or has the owner look for one.
func (s *Socket) StartProtocol(d *reactor.DatagramSocket) {
	s.d = d
	if s.owner != nil {
		d.PauseProducing()
		s.owner.Started()
		return
	}
	s.stage, s.opened = stageOpen, max(1, d.Loop().Now())
	if i := s.in; i.dead == nil {
		i.tellSocket(exStartProtocol, s)
	}
}

// ReceiveBuffer is in the guest's linear memory. Where the instance can't be paged in, it
// has ended, and the socket is not its own any more.
func (s *Socket) ReceiveBuffer() []byte {
	i := s.in
	b := i.receiveBuffer()
	if i.dead == nil {
		return b[i.datagramsAt()-i.recvPtr:]
	}
	return b
}

// datagramsAt is where records begin: at the first multiple of 8 in the registered buffer.
func (i *Instance) datagramsAt() uint32 { return (i.recvPtr + 7) &^ 7 }

// DatagramsReceived hands over records that lie in the receive buffer already.
func (s *Socket) DatagramsReceived(_ []byte, n int) {
	i := s.in
	if i == nil || i.dead != nil {
		return
	}
	i.sock = s
	i.stack[0], i.stack[1], i.stack[2] = uint64(uint32(s.handle)), uint64(i.datagramsAt()), uint64(n)
	if i.run(phaseRun, exDatagramsReceived, s.handle) {
		s.told = true
	}
}

// ConnectionRefused tells a guest that wants to know.
func (s *Socket) ConnectionRefused() { s.in.tellSocket(exConnectionRefused, s) }

// StopProtocol tells the guest, unless it has trapped, and ends the handle.
func (s *Socket) StopProtocol(reason reactor.Reason, err error) {
	s.stage, s.reason, s.err = stageEnding, reason, err
	if i := s.in; i != nil {
		i.stack[1] = api.EncodeI32(int32(reason))
		i.tellSocket(exStopProtocol, s)
	}
	if i := s.in; i != nil {
		s.tellEnd(i)
		s.in = nil
		i.removeSocket(s)
		s.freeHandle(i)
		i.settle()
	}
	s.freeKept()
	s.stage = stageEnded
	if s.owner != nil {
		s.owner.Stopped()
	}
}

// SocketEnd is a socket for datagrams that a guest had opened, and that has ended.
type SocketEnd struct {
	Handle int32
	On     *reactor.DatagramSocket
	To     reactor.Endpoint // what it was opened for
	Age    time.Duration    // since it was there, in this process; 0 = it never was
	Reason reactor.Reason
}

// tellEnd tells of the end of a socket that the guest has opened.
func (s *Socket) tellEnd(i *Instance) {
	if s.owner != nil || i.guest.ended == nil {
		return
	}
	end := SocketEnd{Handle: s.handle, On: s.d, To: s.to, Reason: s.reason}
	if s.opened != 0 {
		end.Age = s.d.Loop().Now() - s.opened
	}
	i.guest.ended(end)
}

// tellSocket runs a callback of a socket whose other parameters are on the stack, if the
// guest has it.
func (i *Instance) tellSocket(e export, s *Socket) {
	if i.dead == nil && i.guest.has[e] {
		i.callback(e, s.handle)
	}
}

func (i *Instance) addSocket(s *Socket) {
	if i.sockets == nil {
		i.sockets = map[int32]*Socket{}
	}
	i.sockets[s.handle] = s
	if s.owner == nil {
		i.opened++
	}
}

func (i *Instance) removeSocket(s *Socket) {
	delete(i.sockets, s.handle)
	if s.owner == nil {
		i.opened--
	}
	if i.sock == s {
		i.sock = nil
	}
}

// socket is the one of a handle, or nil.
func (i *Instance) socket(handle int32) *Socket {
	if s := i.sock; s != nil && s.handle == handle {
		return s
	}
	s := i.sockets[handle]
	if s != nil {
		i.sock = s
	}
	return s
}

// loseSockets says that the instance has ended: what it has opened ends, and what is
// configured is its owner's.
func (i *Instance) loseSockets(reason reactor.Reason, cause error) {
	for _, s := range i.sockets {
		if s.owner == nil {
			if s.d != nil {
				s.d.Abort(reason, cause)
			}
			continue
		}
		s.in = nil
		i.removeSocket(s)
		s.freeHandle(i)
		s.d.PauseProducing()
		if s.stage != stageEnding || s.d.State()&reactor.StateClosing == 0 {
			s.owner.Lost(!s.told)
		}
	}
}

// openSockets opens what startFactory has asked for.
func (i *Instance) openSockets() {
	for _, s := range i.sockets {
		if s.d == nil {
			s.open()
		}
	}
}

// forgetUnopened ends what startFactory has asked for, without the commit.
func (i *Instance) forgetUnopened() {
	for _, s := range i.sockets {
		if s.in == i && s.d == nil && s.facts == nil {
			i.removeSocket(s)
			s.freeHandle(i)
		}
	}
}

// open begins to open a socket, on the loop of its instance.
func (s *Socket) open() {
	p := s.in.place
	s.d = p.Loop.OpenDatagram(s.to, s, s.options(p))
}

// options are those of one that the guest has opened.
func (s *Socket) options(p *Place) reactor.DatagramOptions {
	return reactor.DatagramOptions{Share: func(*reactor.Loop) *reactor.Share { return p.Share }, Allow: s.mayReach}
}

// mayReach tells whether the guest may send to an address from a socket that it has opened.
func (s *Socket) mayReach(to netip.AddrPort) bool {
	allow := s.in.guest.allow
	if s.to.Port != 0 { // it is the only one
		return allow.address(s.to, to.Addr()) == nil
	}
	return allow.datagram(to)
}

// reasonText is the reason with what is known of it.
func (s *Socket) reasonText() string {
	text := abi.Reason(s.reason).String()
	if s.err != nil {
		text += ": " + s.err.Error()
	}
	return text
}
