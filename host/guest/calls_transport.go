package guest

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/reactor"
)

// statusOf is the status of a transport's error.
func statusOf(err error) abi.Status {
	switch {
	case err == nil:
		return abi.StatusOK
	case errors.Is(err, reactor.ErrOverLimit):
		return abi.E2BIG
	case errors.Is(err, reactor.ErrBusy):
		return abi.EBUSY
	case errors.Is(err, reactor.ErrNotConnected):
		return abi.ENOCONN
	case errors.Is(err, reactor.ErrNotSupported):
		return abi.ENOTSUP
	case errors.Is(err, reactor.ErrNotAllowed):
		return abi.EPERM
	}
	return abi.EINVAL // the system refuses the option
}

// writable finds the connection that a write is for, or leaves its status.
func writable(i *Instance, stack []uint64) *conn {
	c := i.conn(int32(stack[0]))
	switch {
	case c == nil || c.stage == stageConnecting:
		fail(stack, abi.ENOCONN)
	case i.phase != phaseRun && i.phase != phaseRestore:
		fail(stack, abi.ENOTNOW)
	case c.stage == stageEnding:
		fail(stack, abi.StatusOK)
	default:
		return c
	}
	return nil
}

func transportWrite(i *Instance, stack []uint64) {
	p := view(i, "transport.write", uint32(stack[1]), uint32(stack[2]))
	if len(p) > longRange {
		i.guard.Check()
	}
	c := writable(i, stack)
	switch {
	case c == nil:
	case i.phase == phaseRestore:
		holdBack(i, c, stack, p)
	case len(p) > writePart:
		queued, err := writeParts(i, c, p)
		wrote(stack, queued, err)
	default:
		queued, err := c.t.Write(p)
		wrote(stack, queued, err)
	}
}

// writeParts is a write in parts, with looks at the clock in between.
func writeParts(i *Instance, c *conn, p []byte) (queued int, err error) {
	for len(p) > writePart {
		if queued, err = c.t.Write(p[:writePart]); err != nil {
			return queued, err
		}
		p = p[writePart:]
		i.guard.Check()
	}
	return c.t.Write(p)
}

// writeSequence is a writeSequence, likewise.
func writeSequence(i *Instance, c *conn) (queued int, err error) {
	first, size := 0, 0
	for n, p := range i.pieces {
		if size += len(p); size <= writePart {
			continue
		}
		if queued, err = c.t.WriteSequence(i.pieces[first:n]); err != nil {
			return queued, err
		}
		i.guard.Check()
		first, size = n, len(p)
		if size > writePart {
			if queued, err = writeParts(i, c, p); err != nil {
				return queued, err
			}
			i.guard.Check()
			first, size = n+1, 0
		}
	}
	return c.t.WriteSequence(i.pieces[first:])
}

func wrote(stack []uint64, queued int, err error) {
	if err != nil {
		fail(stack, statusOf(err))
		return
	}
	stack[0] = api.EncodeI32(int32(queued))
}

func transportWriteSequence(i *Instance, stack []uint64) {
	const call = "transport.writeSequence"
	n := uint32(stack[2])
	if n > abi.MaxSequence {
		fail(stack, abi.EINVAL)
		return
	}
	i.guard.Check()
	iov := view(i, call, uint32(stack[1]), 8*n)
	i.pieces = i.pieces[:0]
	for ; len(iov) > 0; iov = iov[8:] {
		i.pieces = append(i.pieces, view(i, call, le32(iov), le32(iov[4:])))
	}
	c := writable(i, stack)
	switch {
	case c == nil:
	case i.phase == phaseRestore:
		holdBack(i, c, stack, i.pieces...)
	default:
		queued, err := writeSequence(i, c)
		wrote(stack, queued, err)
	}
	clear(i.pieces)
}

// holdBack keeps what restoreState, in this new instance, writes until the commit, up
// to its version's limits.state.
func holdBack(i *Instance, c *conn, stack []uint64, pieces ...[]byte) {
	state := c.t.State()
	if state&(reactor.StateClosing|reactor.StateWriteClosed) != 0 && state&reactor.StateProducer == 0 {
		fail(stack, abi.StatusOK) // it would be dropped
		return
	}
	held := len(c.held)
	for _, p := range pieces {
		held += len(p)
	}
	if held > int(i.guest.limits.State) {
		fail(stack, abi.E2BIG)
		return
	}
	for _, p := range pieces { // into one piece: each by itself would cost memory, and an empty one too
		c.held = append(c.held, p...)
	}
	stack[0] = api.EncodeI32(int32(held + c.t.Stats().Queued))
}

// closing is loseConnection or abortConnection, which cancel a connection that
// is not made yet as well.
func closing(call func(reactor.Transport)) hostCall {
	return func(i *Instance, stack []uint64) {
		c := i.conn(int32(stack[0]))
		switch {
		case c == nil:
			fail(stack, abi.ENOCONN)
		case i.phase != phaseRun:
			fail(stack, abi.ENOTNOW)
		default:
			if !c.handed {
				call(c.t)
			}
			stack[0] = 0
		}
	}
}

// onTransport is a call about a connection that is there. Inside the callback that
// tells its end, it does nothing.
func onTransport(call func(c *conn, stack []uint64) abi.Status) hostCall {
	return untilEnding(abi.StatusOK, call)
}

// untilEnding is onTransport, with another status inside the callback that tells the
// connection's end.
func untilEnding(ending abi.Status, call func(c *conn, stack []uint64) abi.Status) hostCall {
	return func(i *Instance, stack []uint64) {
		c := i.conn(int32(stack[0]))
		switch {
		case c == nil || c.stage == stageConnecting:
			fail(stack, abi.ENOCONN)
		case i.phase != phaseRun:
			fail(stack, abi.ENOTNOW)
		case c.stage == stageEnding:
			fail(stack, ending)
		default:
			fail(stack, call(c, stack))
		}
	}
}

func noResult(call func(reactor.Transport)) func(*conn, []uint64) abi.Status {
	return func(c *conn, _ []uint64) abi.Status {
		call(c.t)
		return abi.StatusOK
	}
}

func onOff(call func(reactor.Transport, bool) error) func(*conn, []uint64) abi.Status {
	return func(c *conn, stack []uint64) abi.Status {
		on := uint32(stack[1])
		if on > 1 {
			return abi.EINVAL
		}
		return statusOf(call(c.t, on == 1))
	}
}

func registerProducer(c *conn, stack []uint64) abi.Status {
	if c.gone {
		return abi.ENOCONN // it could not be told to stop
	}
	streaming := uint32(stack[1])
	if streaming > 1 {
		return abi.EINVAL
	}
	err := c.t.RegisterProducer(c, streaming == 1)
	c.producing = c.producing || err == nil
	return statusOf(err)
}

func unregisterProducer(c *conn, _ []uint64) abi.Status {
	c.producing = false
	c.t.UnregisterProducer()
	return abi.StatusOK
}

func setTimeout(c *conn, stack []uint64) abi.Status {
	d, ok := duration(stack[1])
	if !ok {
		return abi.EINVAL
	}
	c.t.SetTimeout(d)
	return abi.StatusOK
}

// transportStartTLSClient has the guest be TLS's client on a connection, whoever made it.
// No allow list is asked: the connection is there.
func transportStartTLSClient(i *Instance, stack []uint64) {
	name := view(i, "transport.startTLSClient", uint32(stack[1]), uint32(stack[2]))
	i.guard.Check()
	onTransport(func(c *conn, _ []uint64) abi.Status {
		if !serverName(name) {
			return abi.EINVAL
		}
		cfg := i.guest.allow.clientTLS()
		if cfg == nil {
			cfg = &tls.Config{}
		}
		cfg = cfg.Clone()
		cfg.ServerName = string(name)
		return statusOf(c.t.StartTLSClient(cfg))
	})(i, stack)
}

// maxServerName is the longest name of a server, in bytes (RFC 1035, 2.3.4).
const maxServerName = 253

// serverName tells whether a certificate can be verified for a name: an address, or labels
// of letters, digits, hyphens and underscores, as package crypto/x509 has them.
func serverName(name []byte) bool {
	if len(name) == 0 || len(name) > maxServerName {
		return false
	}
	if a, err := netip.ParseAddr(string(name)); err == nil {
		return a.Zone() == ""
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(string(name), "."), ".") {
		if label == "" || label[0] == '-' || strings.Trim(label, labelBytes) != "" {
			return false
		}
	}
	return true
}

const labelBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// known finds the connection that a getter is about, or leaves its status.
func known(i *Instance, stack []uint64) *conn {
	c := i.conn(int32(stack[0]))
	if c == nil || c.stage == stageConnecting {
		fail(stack, abi.ENOCONN)
		return nil
	}
	return c
}

func transportState(i *Instance, stack []uint64) {
	if c := known(i, stack); c != nil {
		stack[0] = uint64(c.t.State())
	}
}

func getter(name string, get func(*conn) []byte) hostCall {
	return func(i *Instance, stack []uint64) {
		view(i, name, uint32(stack[1]), uint32(stack[2]))
		if c := known(i, stack); c != nil {
			stack[0] = give(i, name, uint32(stack[1]), uint32(stack[2]), get(c))
		}
	}
}

func transportReason(i *Instance, stack []uint64) {
	const call = "transport.reason"
	view(i, call, uint32(stack[1]), uint32(stack[2]))
	c := known(i, stack)
	switch {
	case c == nil:
	case c.stage != stageEnding:
		fail(stack, abi.EINVAL)
	default:
		stack[0] = give(i, call, uint32(stack[1]), uint32(stack[2]), []byte(c.reasonText()))
	}
}
