package guest

import (
	"net/netip"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// socketCall is a call about a datagram socket.
type socketCall func(i *Instance, s *Socket, stack []uint64)

// addDatagrams adds module datagram, and has the calls of transport that work on sockets do
// so.
func addDatagrams(calls map[string]hostCall) {
	for name, on := range map[string]socketCall{
		"transport.loseConnection":  inRun((*reactor.DatagramSocket).LoseConnection),
		"transport.abortConnection": inRun(func(d *reactor.DatagramSocket) { d.Abort(reactor.Aborted, nil) }),
		"transport.pauseProducing":  untilStop((*reactor.DatagramSocket).PauseProducing),
		"transport.resumeProducing": untilStop((*reactor.DatagramSocket).ResumeProducing),
		"transport.state":           socketState,
		"transport.getPeer":         socketGetter("transport.getPeer", (*Socket).peer),
		"transport.getHost":         socketGetter("transport.getHost", (*Socket).host),
		"transport.reason":          socketReason,
	} {
		calls[name] = orSocket(calls[name], on)
	}
	calls["datagram.send"] = datagramSend
	calls["datagram.open"] = datagramOpen
	calls["datagram.join"] = datagramGroup("datagram.join", (*reactor.DatagramSocket).Join)
	calls["datagram.leave"] = datagramGroup("datagram.leave", (*reactor.DatagramSocket).Leave)
	calls["datagram.setOption"] = datagramSetOption
}

// orSocket is a call about a connection, or else about a datagram socket: they share their
// handles.
func orSocket(call hostCall, on socketCall) hostCall {
	return func(i *Instance, stack []uint64) {
		if i.sockets != nil {
			if s := i.socket(int32(stack[0])); s != nil {
				on(i, s, stack)
				return
			}
		}
		call(i, stack)
	}
}

// inRun is a call about a socket, one that is being opened too.
func inRun(call func(*reactor.DatagramSocket)) socketCall {
	return func(i *Instance, s *Socket, stack []uint64) {
		if i.phase != phaseRun {
			fail(stack, abi.ENOTNOW)
			return
		}
		call(s.d)
		stack[0] = 0
	}
}

// untilStop is a call about a socket that is there. Inside stopProtocol it does nothing.
func untilStop(call func(*reactor.DatagramSocket)) socketCall {
	return func(i *Instance, s *Socket, stack []uint64) {
		switch {
		case s.stage == stageConnecting:
			fail(stack, abi.ENOCONN)
		case i.phase != phaseRun:
			fail(stack, abi.ENOTNOW)
		default:
			if s.stage != stageEnding {
				call(s.d)
			}
			stack[0] = 0
		}
	}
}

func socketState(_ *Instance, s *Socket, stack []uint64) {
	if s.stage == stageConnecting {
		fail(stack, abi.ENOCONN)
		return
	}
	stack[0] = uint64(s.state())
}

func socketGetter(name string, get func(*Socket) string) socketCall {
	return func(i *Instance, s *Socket, stack []uint64) {
		view(i, name, uint32(stack[1]), uint32(stack[2]))
		if s.stage == stageConnecting {
			fail(stack, abi.ENOCONN)
			return
		}
		stack[0] = give(i, name, uint32(stack[1]), uint32(stack[2]), []byte(get(s)))
	}
}

func socketReason(i *Instance, s *Socket, stack []uint64) {
	const call = "transport.reason"
	view(i, call, uint32(stack[1]), uint32(stack[2]))
	if s.stage != stageEnding {
		fail(stack, abi.EINVAL)
		return
	}
	stack[0] = give(i, call, uint32(stack[1]), uint32(stack[2]), []byte(s.reasonText()))
}

// Parts of a send, between which it looks at the clock.
const (
	sendRecords = 64
	sendBytes   = 256 << 10
	longBatch   = 16 // records of a send from which it looks
)

func datagramSend(i *Instance, stack []uint64) {
	ptr, n := uint32(stack[1]), uint32(stack[2])
	if n > abi.MaxDatagrams || ptr%8 != 0 {
		fail(stack, abi.EINVAL)
		return
	}
	if n > longBatch {
		i.guard.Check()
	}
	records := recordsAt(i, ptr, n)
	if s := socketOf(i, stack); s != nil {
		taken, err := sendAll(i, s, records, int(n))
		if err != nil {
			fail(stack, statusOf(err))
			return
		}
		stack[0] = api.EncodeI32(int32(taken))
	}
}

// recordsAt are n records of linear memory, for the time of this call. One that reaches
// past its end is a trap.
func recordsAt(i *Instance, ptr, n uint32) []byte {
	const call, header = "datagram.send", 32
	at, end := uint64(ptr), uint64(1)<<32
	for range n {
		if at+header > end {
			view(i, call, uint32(end-1), header)
		}
		size := uint64(le32(view(i, call, uint32(at), header)))
		if at += header + (size+7)&^7; at > end {
			view(i, call, uint32(end-1), header) // outside any memory
		}
	}
	return view(i, call, ptr, uint32(at-uint64(ptr)))
}

// sendAll sends records in parts, with looks at the clock in between. Nothing is sent where
// one of them is none.
func sendAll(i *Instance, s *Socket, records []byte, n int) (taken int, err error) {
	if n <= sendRecords && len(records) <= sendBytes {
		return s.d.Send(records, n)
	}
	if err := s.d.Check(records, n); err != nil {
		return 0, err
	}
	for n > 0 {
		part, size := 0, 0
		for rest := records; part < min(n, sendRecords) && size < sendBytes; part++ {
			one := 32 + (int(le32(rest))+7)&^7
			rest, size = rest[one:], size+one
		}
		now, err := s.d.Send(records[:size], part)
		if taken += now; err != nil {
			return taken, err
		}
		records, n = records[size:], n-part
		i.guard.Check()
	}
	return taken, nil
}

func datagramOpen(i *Instance, stack []uint64) {
	text := view(i, "datagram.open", uint32(stack[0]), uint32(stack[1]))
	i.guard.Check()
	limit := i.guest.limits.Sockets
	switch {
	case i.phase != phaseRun && i.phase != phaseStart, !i.mayBegin():
		fail(stack, abi.ENOTNOW)
		return
	case len(text) > maxEndpoint:
		fail(stack, abi.EINVAL)
		return
	case limit > 0 && int(i.opened) >= limit:
		fail(stack, abi.E2BIG)
		return
	}
	ep, err := reactor.ParseDatagramEndpoint(string(text))
	_, bind := netip.ParseAddr(ep.Host)
	if err != nil || ep.Scheme != "udp" || ep.Port == 0 && bind != nil {
		fail(stack, abi.EINVAL)
		return
	}
	switch {
	case !i.guest.allow.endpoint(ep):
		fail(stack, abi.EPERM)
		return
	case !i.hasRoom("open"):
		fail(stack, abi.E2BIG)
		return
	}
	s := &Socket{in: i, handle: i.account.conns.take(), stage: stageConnecting, to: ep}
	i.addSocket(s)
	if i.phase == phaseRun {
		s.open()
	}
	stack[0] = api.EncodeI32(s.handle)
}

// socketOf finds the socket that a call is about, or leaves its status.
func socketOf(i *Instance, stack []uint64) *Socket {
	s := i.socket(int32(stack[0]))
	switch {
	case s == nil || s.stage == stageConnecting:
		fail(stack, abi.ENOCONN)
	case i.phase != phaseRun:
		fail(stack, abi.ENOTNOW)
	case s.stage == stageEnding:
		stack[0] = 0
	default:
		return s
	}
	return nil
}

// datagramGroup is join or leave.
func datagramGroup(name string, call func(*reactor.DatagramSocket, string) error) hostCall {
	return func(i *Instance, stack []uint64) {
		group := view(i, name, uint32(stack[1]), uint32(stack[2]))
		i.guard.Check()
		s := socketOf(i, stack)
		switch {
		case s == nil:
		case len(group) > maxEndpoint:
			fail(stack, abi.EINVAL)
		default:
			fail(stack, statusOf(call(s.d, string(group))))
		}
	}
}

func datagramSetOption(i *Instance, stack []uint64) {
	i.guard.Check()
	if s := socketOf(i, stack); s != nil {
		fail(stack, statusOf(s.d.SetOption(reactor.DatagramOption(api.DecodeI32(stack[1])),
			int(api.DecodeI32(stack[2])))))
	}
}
