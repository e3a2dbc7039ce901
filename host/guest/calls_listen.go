package guest

import (
	"fmt"
	"net/netip"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

func reactorListen(i *Instance, stack []uint64) {
	text := view(i, "reactor.listen", uint32(stack[0]), uint32(stack[1]))
	i.guard.Check() // a socket takes some 30 µs
	handle, status := listen(i, text)
	if status != abi.StatusOK {
		fail(stack, status)
		return
	}
	stack[0] = api.EncodeI32(handle)
}

// listen gives an instance a listener at an endpoint.
func listen(i *Instance, text []byte) (handle int32, status abi.Status) {
	limit := i.guest.limits.Listeners
	switch {
	case i.phase != phaseRun && i.phase != phaseStart, !i.mayBegin():
		return 0, abi.ENOTNOW
	case len(text) > maxEndpoint:
		return 0, abi.EINVAL
	case limit > 0 && len(i.listeners)+int(i.stopped.Load()) >= limit:
		return 0, abi.E2BIG
	}
	ep, err := reactor.ParseEndpoint(string(text))
	switch {
	case err != nil || !ofThisMachine(ep):
		return 0, abi.EINVAL
	case !i.guest.listens.allows(ep):
		return 0, abi.EPERM
	case i.guest.listen == nil, ep.Scheme == "tls" && i.guest.listens.tls == nil:
		return 0, abi.ENOTSUP
	}
	if i.phase == phaseStart && (i.heir != NoHeir || len(i.takes) > 0) {
		if l := i.account.claim(i, ep); l != nil {
			return l.handle, abi.StatusOK
		}
	}
	if !i.hasRoom("listen") {
		return 0, abi.E2BIG
	}
	l, err := i.account.bind(i, ep)
	if err != nil {
		return 0, i.bindStatus(ep, err)
	}
	i.own(l)
	if i.phase == phaseRun {
		l.give(i)
	}
	return l.handle, abi.StatusOK
}

// hasRoom tells whether the instance may have another socket; else that is logged. The number of its
// instances may have no limit, so that limits of each are none of the plugin's.
func (i *Instance) hasRoom(call string) bool {
	if i.guest.room == nil {
		return true
	}
	found, most := i.guest.room()
	if most == 0 || found < most {
		return true
	}
	i.account.warn(roomNote, "version", i.guest.name, "call", call, "found", found, "wanted",
		fmt.Sprintf("under %d, three quarters of the process's descriptors", most))
	return false
}

// roomNote is the line of a guest that gets no socket.
const roomNote = "a guest gets no socket: the server has too many"

// ofThisMachine tells whether an endpoint may be listened on without a name's resolution,
// for which a loop would wait.
func ofThisMachine(ep reactor.Endpoint) bool {
	if ep.Scheme == "unix" || ep.Host == "" {
		return true
	}
	_, err := netip.ParseAddr(ep.Host)
	return err == nil
}

func reactorStopListening(i *Instance, stack []uint64) {
	l := i.listeners[int32(stack[0])]
	switch {
	case l == nil:
		fail(stack, abi.ENOCONN)
		return
	case !i.mayStop(l):
		fail(stack, abi.ENOTNOW)
		return
	}
	delete(i.listeners, l.handle)
	l.account.listening.mu.Lock()
	l.stopper = i
	l.account.listening.mu.Unlock()
	if l.in.Load() == i {
		l.leave()
	} else {
		l.endClaim()
	}
	if i.phase != phaseStart {
		i.place.Share.CallLater(0, i.settle) // it may have lived for that alone
	}
	stack[0] = 0
}

// mayStop tells whether a listener of the instance's may be closed now. In a start that is not
// committed that is one that the start has made: what is to move is another version's still.
func (i *Instance) mayStop(l *listener) bool {
	switch i.phase {
	case phaseRun, phaseBuild:
		return true
	case phaseStart:
		return l.in.Load() == i
	}
	return false
}

// transportListener tells where a connection came from.
func transportListener(i *Instance, stack []uint64) {
	if c := known(i, stack); c != nil {
		stack[0] = api.EncodeI32(c.from)
	}
}

// transportGetHost is of listeners too.
func transportGetHost(i *Instance, stack []uint64) {
	const call = "transport.getHost"
	ptr, size := uint32(stack[1]), uint32(stack[2])
	view(i, call, ptr, size)
	if l := i.listeners[int32(stack[0])]; l != nil {
		stack[0] = give(i, call, ptr, size, []byte(l.endpoint()))
		return
	}
	if c := known(i, stack); c != nil {
		stack[0] = give(i, call, ptr, size, []byte(c.t.Host()))
	}
}
