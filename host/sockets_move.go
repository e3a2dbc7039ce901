package host

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// In a handover the sockets of configured ports are both processes' from the beginning on,
// and one at a time receives: what comes meanwhile the system keeps. One moves with its
// instance, or, where that stays or does not give the socket's state, without it: then the
// instance is told that the socket is lost, and one of the other process that it begins.
// This process keeps its descriptor until the end, so that it can go on.

// PortFiles are the sockets of a configured port for datagrams.
type PortFiles struct {
	Endpoint string     // as the configuration has it
	Bound    string     // where they are bound
	Files    []*os.File // duplicates, for the caller to close; one's place is the socket's number
}

// PortFiles are the sockets for datagrams, for another process. On an error they are some, to
// be closed all the same.
func (o *Handover) PortFiles() (list []PortFiles, err error) {
	for _, t := range o.h.ports {
		all := PortFiles{Endpoint: t.cfg.Endpoint, Bound: t.on.Endpoint().String()}
		for n, d := range t.on.Sockets() {
			var f *os.File
			endErr := onLoop(d.Loop(), func() { f, err = d.File() })
			if err = errors.Join(err, endErr); err != nil {
				return append(list, all), fmt.Errorf("listener %s: %w", t.cfg.Endpoint, err)
			}
			o.numbers[d] = n
			all.Files = append(all.Files, f)
		}
		list = append(list, all)
	}
	return list, nil
}

// onSockets calls do with the configured sockets, each on its loop.
func (h *Host) onSockets(do func(*socket)) error {
	for _, t := range h.ports {
		if err := t.eachSocket(t.plugin.Load(), do); err != nil {
			return err
		}
	}
	return nil
}

// stopServing has no socket get another instance, and those of endpoints that the other
// process does not want lose theirs.
func (o *Handover) stopServing(unwanted []string) error {
	return o.h.onSockets(func(k *socket) {
		k.leaves = true
		k.cancelRetry()
		if slices.Contains(unwanted, k.port.cfg.Endpoint) {
			k.guest.Leave(reactor.Done, false)
		}
	})
}

// serveAgain is the end of stopServing.
func (o *Handover) serveAgain() error {
	return o.h.onSockets(func(k *socket) {
		k.leaves = false
		if k.guest.Instance() == nil {
			k.guest.Thaw()
			k.serve()
		}
	})
}

// leaveSockets has what is left of the sockets that the other process wants be that one's.
func (o *Handover) leaveSockets() error {
	return o.h.onSockets(func(k *socket) {
		if !slices.Contains(o.unwanted, k.port.cfg.Endpoint) {
			k.guest.Leave(reactor.Replaced, false)
			_, _ = k.guest.On().Freeze() // it is, or is over
		}
	})
}

// LoneSocket is a configured socket that moves without an instance.
type LoneSocket struct {
	Port   string                 `json:"port"` // where it is bound
	Number int                    `json:"number"`
	Loop   int                    `json:"loop"` // where it was
	Socket reactor.FrozenDatagram `json:"socket"`
}

// lone moves the configured sockets that have not moved with an instance, when all these have.
// They always move, so a refusal is an error.
func (c *crossing) lone(unwanted []string, list *[]*Departure) error {
	var all []Handed
	err := c.h.onSockets(func(k *socket) {
		if c.moving[k.guest] || slices.Contains(unwanted, k.port.cfg.Endpoint) {
			return
		}
		if c.to != nil {
			k.guest.Leave(reactor.Replaced, false)
			v, err := k.guest.On().Freeze()
			if err != nil { // it is over, and the other process begins anew with it
				return
			}
			all = append(all, Handed{Plugin: k.plugin.name, Lone: &LoneSocket{Port: k.port.on.Endpoint().String(),
				Number: c.numbers[k.guest.On()], Loop: k.loop.Index(), Socket: v}})
		}
		departure(list, k.plugin.name).Sockets++
	})
	if err != nil || len(all) == 0 {
		return err
	}
	refused, err := c.to.Offer(all)
	for n, why := range refused {
		if why != "" {
			err = errors.Join(err, fmt.Errorf("the socket of %s: %s", all[n].Lone.Port, why))
		}
	}
	if err == nil {
		err = c.commit()
	}
	return err
}

// departure is a plugin's.
func departure(list *[]*Departure, plugin string) *Departure {
	for _, d := range *list {
		if d.Plugin == plugin {
			return d
		}
	}
	*list = append(*list, &Departure{Plugin: plugin})
	return (*list)[len(*list)-1]
}

// givenSocket is a socket of the process before.
type givenSocket struct {
	file  *os.File
	taken bool // one of this host's is it
}

// inheritedDatagrams are the sockets that another process has given for an endpoint, or with no
// bound a service manager; and whether their files stay.
func (h *Host) inheritedDatagrams(endpoint string) (bound reactor.Endpoint, files []*os.File, kept bool) {
	if h.o.InheritedDatagrams == nil {
		return bound, nil, false
	}
	text, files, kept := h.o.InheritedDatagrams(endpoint)
	if text == "" {
		return bound, files, kept
	}
	bound, err := reactor.ParseDatagramEndpoint(text)
	if err != nil { // it is bound anew, which fails
		closeFiles(files)
		return reactor.Endpoint{}, nil, false
	}
	return bound, files, kept
}

// giveAll notes the sockets that a port gets.
func (t *port) giveAll(files []*os.File, o reactor.DatagramOptions) error {
	for _, f := range files {
		t.given = append(t.given, givenSocket{file: f})
	}
	if len(files) > 1 && (o.Broadcast || len(o.Multicast) > 0) {
		return severalSockets(t.cfg, len(files))
	}
	return nil
}

// severalSockets is the error of a port that is to have one.
func severalSockets(cfg config.Listener, n int) error {
	return fmt.Errorf("listener %s: found %d sockets, wanted one, for groups and broadcasts: it takes another start",
		cfg.Endpoint, n)
}

func (t *port) closeGiven() {
	for _, g := range t.given {
		_ = g.file.Close() // a duplicate
	}
	t.given = nil
}

// configured adopts a configured socket with its instance.
func (t *Takeover) configured(s *slot) func(*guest.SocketState) (*guest.Socket, error) {
	return func(one *guest.SocketState) (*guest.Socket, error) {
		at := t.port(one.Port)
		if at != nil && at.plugin.Load() != s.plugin {
			return nil, fmt.Errorf("%s is plugin %s's, in the new process", one.Port, at.plugin.Load().name)
		}
		k, err := t.adoptSocket(one.Port, one.Number, one.Socket, s.place.Loop)
		if err != nil {
			return nil, err
		}
		return k.guest, nil
	}
}

// port is the one that is bound to an endpoint, or nil.
func (t *Takeover) port(bound string) *port {
	for _, at := range t.h.ports {
		if at.on.Endpoint().String() == bound {
			return at
		}
	}
	return nil
}

// adoptSocket adopts one of a port's sockets, which is frozen. On l.
func (t *Takeover) adoptSocket(bound string, number int, v reactor.FrozenDatagram, l *reactor.Loop) (*socket, error) {
	at := t.port(bound)
	if at == nil || number < 0 || number >= len(at.given) || at.given[number].taken {
		return nil, fmt.Errorf("found no socket %d of %s", number, bound)
	}
	k := &socket{port: at, plugin: at.plugin.Load(), loop: l, number: number}
	k.guest = guest.NewSocket(k)
	g := &at.given[number]
	if err := k.guest.Adopt(l, g.file, v, at.on); err != nil {
		return nil, err
	}
	g.taken = true
	k.plugin.addSocket(k)
	return k, nil
}

// Dropped says that the socket is the other process's after all.
func (k *socket) Dropped() {
	k.port.given[k.number].taken = false
	k.Stopped()
}

// adoptLone adopts a socket that has no instance, up to Commit or Drop.
func (t *Takeover) adoptLone(one *LoneSocket) error {
	at := t.port(one.Port)
	if at == nil {
		return fmt.Errorf("found no listener on %s", one.Port)
	}
	l := at.plugin.Load().loopAt(one.Loop)
	var k *socket
	var err error
	endErr := onLoop(l, func() {
		if k, err = t.adoptSocket(one.Port, one.Number, one.Socket, l); err == nil {
			k.leaves = true
		}
	})
	if err = errors.Join(err, endErr); err == nil {
		t.lone = append(t.lone, k)
	}
	return err
}

// loopAt is where something goes that was on the nth loop of another process.
func (p *plugin) loopAt(n int) *reactor.Loop {
	if pinned := p.loop(); pinned >= 0 {
		n = pinned
	}
	return p.loops[n%len(p.loops)]
}

// eachLone does something with the sockets that were adopted without an instance.
func (t *Takeover) eachLone(do func(*socket)) error {
	var errs []error
	for _, k := range t.lone {
		errs = append(errs, onLoop(k.loop, func() { do(k) }))
	}
	t.lone = nil
	return errors.Join(errs...)
}

// begin has a socket that was adopted without an instance look for one.
func (k *socket) begin() {
	k.leaves = false
	k.guest.Thaw()
	k.serve()
}

// takeGiven takes the sockets that the other process has not brought, and lets go of its files.
func (t *Takeover) takeGiven() {
	for _, at := range t.h.ports {
		for n, g := range at.given {
			if g.taken {
				continue
			}
			if err := t.adoptLone(&LoneSocket{Port: at.on.Endpoint().String(), Number: n, Loop: n}); err != nil {
				t.h.log.Error("taking over a socket", "endpoint", at.cfg.Endpoint, "err", err)
			}
		}
		at.closeGiven()
	}
	if err := t.eachLone((*socket).begin); err != nil {
		t.h.log.Error("taking over sockets", "err", err)
	}
}
