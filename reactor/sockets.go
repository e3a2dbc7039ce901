package reactor

import (
	"context"
	"net/netip"
)

// Sockets is how many sockets the reactor has, with what takes one for a while or is about to: connections
// that are being made, each address that is tried beside, names that are being resolved. Ends of connections
// inside the process are none. Any goroutine.
func (r *Reactor) Sockets() int { return int(r.connections.Load() + r.others.Load()) }

// countConn counts n connections, or takes them back; those inside the process have no socket.
func (r *Reactor) countConn(inside bool, n int64) {
	r.connections.Add(n)
	if inside {
		r.others.Add(-n)
	}
}

// resolve asks for the addresses of a name, off the loop, and has take told of them on it. A loop
// that has ended has told whoever asks already.
func (l *Loop) resolve(ctx context.Context, network, host string, take func([]netip.Addr, error)) {
	r := l.r
	r.others.Add(1) // to ask takes a socket
	go func() {
		addrs, err := r.lookup(ctx, network, host)
		r.others.Add(-1)
		_ = l.CallFromThread(func() { take(addrs, err) })
	}()
}
