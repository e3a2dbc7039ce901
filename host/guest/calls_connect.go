package guest

import (
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/reactor"
)

// maxEndpoint is the longest text of an endpoint, in bytes.
const maxEndpoint = 1024

// maxDepth is how many connections between plugins may lie behind one another: plugins
// that connect to each other without end come to it.
const maxDepth = 16

const (
	insideScheme = "plugin://"
	// next is the name of the plugin behind a connection's in its listener's chain.
	next = "next"
)

func reactorConnect(i *Instance, stack []uint64) {
	connect(i, "reactor.connect", nil, stack)
}

// connect is connect, and with as connectAs: stack has what both have.
func connect(i *Instance, call string, as *conn, stack []uint64) {
	text := string(view(i, call, uint32(stack[0]), uint32(stack[1])))
	i.guard.Check()
	timeout, ok := duration(stack[2])
	switch {
	case i.phase != phaseRun:
		fail(stack, abi.ENOTNOW)
		return
	case !ok || len(text) > maxEndpoint:
		fail(stack, abi.EINVAL)
		return
	}
	if name, inside := strings.CutPrefix(text, insideScheme); inside {
		i.connectInside(name, as, timeout, stack)
		return
	}
	if limit := i.guest.limits.ConnectionsOut; limit > 0 && int(i.out) >= limit {
		fail(stack, abi.E2BIG)
		return
	}
	ep, err := reactor.ParseEndpoint(text)
	if err != nil {
		fail(stack, abi.EINVAL)
		return
	}
	if !i.guest.allow.endpoint(ep) {
		fail(stack, abi.EPERM)
		return
	}
	c := i.newClient()
	c.t = i.place.Loop.Connect(ep, c, reactor.ConnectOptions{Timeout: timeout, Share: i.place.Share,
		TLS: i.guest.allow.clientTLS(), Allow: i.guest.allow.address})
	stack[0] = api.EncodeI32(c.handle)
}

// newClient is a connection that is about to be made.
func (i *Instance) newClient() *conn {
	c := &conn{in: i, handle: i.account.conns.take(), stage: stageConnecting}
	c.note()
	i.conns.add(c)
	i.out++
	return c
}

// connectInside connects to another plugin.
func (i *Instance) connectInside(name string, as *conn, timeout time.Duration, stack []uint64) {
	// One more for each connection that it has accepted: no descriptor goes with it.
	accepted := i.conns.len() - int(i.out)
	depth := i.depth() + 1
	switch limit := i.guest.limits.ConnectionsOut; {
	case name == "":
		fail(stack, abi.EINVAL)
		return
	case limit > 0 && int(i.out) >= limit+accepted, depth > maxDepth:
		fail(stack, abi.E2BIG)
		return
	}
	var to *reactor.Listener
	switch {
	case name != next:
		if !i.guest.allow.plugin(name) {
			fail(stack, abi.EPERM)
			return
		}
		to = i.guest.inside(name)
	default:
		if to = i.behind(as); to == nil {
			fail(stack, abi.EPERM)
			return
		}
		name = to.Endpoint().Path
	}
	o := reactor.ConnectOptions{Timeout: timeout, Share: i.place.Share, From: i.account.name, Depth: depth}
	if as != nil {
		o.As = as.t
	}
	c := i.newClient()
	c.t = i.place.Loop.ConnectInside(to, name, c, o)
	stack[0] = api.EncodeI32(c.handle)
}

// behind is the listener behind the one of a connection, in its chain: of as or, where that
// is nil, of the one whose callback runs. nil = there is none.
func (i *Instance) behind(as *conn) *reactor.Listener {
	if as == nil && i.stack[gate.Params] != i.guest.numbers[exDelayedCall] {
		as = i.conns.get(int32(i.stack[0]))
	}
	if as == nil || as.t == nil {
		return nil
	}
	if ln := as.t.Stats().Listener; ln != nil {
		return ln.Next()
	}
	return nil
}

// depth is how many connections between plugins lie before the instance: most of those
// that it has, as nobody knows for which of them it connects.
func (i *Instance) depth() int {
	if i.layered == 0 {
		return 0
	}
	return int(i.deepest)
}

// enterLayer and leaveLayer count a connection that another plugin has made.
func (i *Instance) enterLayer(depth int) {
	if depth == 0 {
		return
	}
	if i.layered == 0 {
		i.deepest = 0
	}
	i.layered++
	i.deepest = max(i.deepest, int32(depth))
}

func (i *Instance) leaveLayer(depth int) {
	if depth > 0 {
		i.layered--
	}
}
