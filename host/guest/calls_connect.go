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
	text := view(i, "reactor.connect", uint32(stack[0]), uint32(stack[1]))
	i.guard.Check()
	stack[0] = api.EncodeI32(i.connect(nil, text, stack[2]))
}

func reactorConnectAs(i *Instance, stack []uint64) {
	text := view(i, "reactor.connectAs", uint32(stack[1]), uint32(stack[2]))
	i.guard.Check()
	untilEnding(abi.ENOCONN, func(c *conn, stack []uint64) abi.Status {
		return abi.Status(i.connect(c, text, stack[3]))
	})(i, stack)
}

// connect is connect, and where as is not nil connectAs: a handle or a status.
func (i *Instance) connect(as *conn, endpoint []byte, ms uint64) int32 {
	timeout, ok := duration(ms)
	switch {
	case i.phase != phaseRun, !i.mayBegin():
		return int32(abi.ENOTNOW)
	case !ok || len(endpoint) > maxEndpoint:
		return int32(abi.EINVAL)
	}
	text := string(endpoint)
	if name, inside := strings.CutPrefix(text, insideScheme); inside {
		return i.connectInside(name, as, timeout)
	}
	if limit := i.guest.limits.ConnectionsOut; limit > 0 && int(i.out) >= limit {
		return int32(abi.E2BIG)
	}
	ep, err := reactor.ParseEndpoint(text)
	if err != nil {
		return int32(abi.EINVAL)
	}
	switch {
	case !i.guest.allow.endpoint(ep):
		return int32(abi.EPERM)
	case !i.hasRoom("connect"):
		return int32(abi.E2BIG)
	}
	c := i.newClient()
	c.t = i.place.Loop.Connect(ep, c, reactor.ConnectOptions{Timeout: timeout, Share: i.place.Share,
		TLS: i.guest.allow.clientTLS(), Allow: i.guest.allow.address})
	return c.handle
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
func (i *Instance) connectInside(name string, as *conn, timeout time.Duration) int32 {
	// One more for each connection that it has accepted: no descriptor goes with it.
	accepted := i.conns.len() - int(i.out)
	depth := i.depth() + 1
	switch limit := i.guest.limits.ConnectionsOut; {
	case name == "":
		return int32(abi.EINVAL)
	case limit > 0 && int(i.out) >= limit+accepted, depth > maxDepth:
		return int32(abi.E2BIG)
	}
	to, allowed := i.pluginBehind(name, as)
	if !allowed {
		return int32(abi.EPERM)
	}
	if limit := i.guest.limits.Links; !i.account.takeLink(limit) {
		i.account.warn(linksNote, "version", i.guest.name, "limit", limit)
		return int32(abi.E2BIG)
	}
	o := reactor.ConnectOptions{Timeout: timeout, Share: i.place.Share, From: i.account.name, Depth: depth}
	if as != nil {
		o.As = as.t
	}
	if name == next {
		name = to.Endpoint().Path
	}
	c := i.newClient()
	c.link = true
	c.t = i.place.Loop.ConnectInside(to, name, c, o)
	return c.handle
}

// linksNote is the line of a connection to another plugin that is refused.
const linksNote = "a guest can't connect to another plugin: over limits.links"

// pluginBehind is where plugin://name leads to, nil = nowhere, and whether it may be
// connected to.
func (i *Instance) pluginBehind(name string, as *conn) (to *reactor.Listener, allowed bool) {
	if name == next {
		to, why := i.behind(as)
		if to == nil {
			i.account.warn(nextNote, "version", i.guest.name, "why", why)
		}
		return to, to != nil
	}
	if !i.guest.allow.plugin(name) {
		return nil, false
	}
	return i.guest.inside(name), true
}

// nextNote is the line of a connection to plugin://next that is refused.
const nextNote = "a guest can't connect to plugin://next"

// behind is the listener behind the one of a connection, in its chain: of as or, where that
// is nil, of the one whose callback runs. nil = there is none, and why says so.
func (i *Instance) behind(as *conn) (to *reactor.Listener, why string) {
	if as == nil && i.stack[gate.Params] != i.guest.numbers[exDelayedCall] {
		as = i.conns.get(int32(i.stack[0]))
	}
	if as == nil || as.t == nil {
		return nil, "it runs in no connection's callback: connectAs says whose chain is meant"
	}
	ln := as.t.Stats().Listener
	switch {
	case ln == nil:
		return nil, "the connection is an outgoing one, which has no chain"
	case ln.Next() == nil:
		return nil, "no plugin is behind this one in a chain of the listener " + ln.Endpoint().String()
	}
	return ln.Next(), ""
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
