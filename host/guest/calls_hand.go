package guest

import (
	"errors"

	"github.com/wirehost/wirehost/abi"
)

// Why Settings.HandTo has no plugin of a name.
var (
	ErrNotAllowed = errors.New("not in allow.hand_over")
	ErrNotRunning = errors.New("the plugin does not run")
)

// transportHandOver gives a connection to another plugin.
func transportHandOver(i *Instance, stack []uint64) {
	const call = "transport.handOver"
	plugin := view(i, call, uint32(stack[1]), uint32(stack[2]))
	first := view(i, call, uint32(stack[3]), uint32(stack[4]))
	i.guard.Check()
	// Where the loss is being told there is nothing to give.
	untilEnding(abi.ENOCONN, func(c *conn, _ []uint64) abi.Status { return c.handOver(plugin, first) })(i, stack)
}

// handOver gives the connection to a plugin, with its first bytes. From then on it does nothing
// more for this guest, until its loss is told.
func (c *conn) handOver(plugin, first []byte) abi.Status {
	if c.handed {
		return abi.ENOCONN
	}
	handTo := c.in.guest.handTo
	if handTo == nil || len(plugin) > maxEndpoint { // no plugin has such a name
		return abi.EPERM
	}
	to, err := handTo(string(plugin))
	switch {
	case errors.Is(err, ErrNotAllowed):
		return abi.EPERM
	case err != nil:
		return abi.ENOTSUP
	case len(first) > abi.MaxHandOver:
		return abi.E2BIG
	}
	err = c.t.HandOver(to, first)
	c.handed = err == nil
	return statusOf(err)
}
