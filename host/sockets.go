package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// port is one entry of the configuration's listeners that is for datagrams.
type port struct {
	cfg    config.Listener
	on     *reactor.DatagramPort
	shared bool // it has one socket, on the loop of a plugin of isolation shared
	plugin atomic.Pointer[plugin]
	given  []givenSocket // of the process before; a Takeover's
	kept   bool          // the files of its Unix sockets stay
}

// next is what a port is to be after a reload.
type nextPort struct {
	*port
	cfg     config.Listener
	plugin  *plugin
	options reactor.DatagramOptions
	bound   bool // it is new
}

// socket is a port's socket on one loop, which alone uses it: it has an instance of the
// plugin, or waits for one.
type socket struct {
	port   *port
	plugin *plugin
	loop   *reactor.Loop
	guest  *guest.Socket
	lost   int                  // instances in a row that have ended before they got a datagram
	retry  *reactor.DelayedCall // nil = none
	leaves bool                 // in a handover: it gets no instance here
	number int                  // of port.given
}

var _ guest.SocketOwner = (*socket)(nil)

// inOrder calls one of the functions with each listener, in the configuration's order.
func (h *Host) inOrder(connections func(*listener), datagrams func(*port)) {
	listeners, ports := h.listeners, h.ports
	for _, cfg := range h.cfg.Listeners {
		switch isPort := config.ForDatagrams(cfg.Endpoint); {
		case isPort && len(ports) > 0:
			datagrams(ports[0])
			ports = ports[1:]
		case !isPort && len(listeners) > 0:
			connections(listeners[0])
			listeners = listeners[1:]
		}
	}
}

// info is what an administrator is told of the port.
func (t *port) info() ListenerInfo {
	return ListenerInfo{Endpoint: t.on.Endpoint().String(), Plugin: t.plugin.Load().name,
		RefusedBy: map[string]uint64{}, Datagrams: datagramCounts(t.on.Stats())}
}

// openPort binds a port of the configuration that the host starts with.
func (h *Host) openPort(cfg config.Listener) error {
	p := h.plugins[cfg.Plugin]
	if p == nil {
		return fmt.Errorf("listener %s: found no plugin %q", cfg.Endpoint, cfg.Plugin)
	}
	t, err := h.bindPort(cfg, p, p.current())
	if err == nil {
		h.ports = append(h.ports, t)
	}
	return err
}

// bindPort binds a port's sockets, for which no loop does anything yet.
func (h *Host) bindPort(cfg config.Listener, p *plugin, v *version) (*port, error) {
	ep, err := reactor.ParseDatagramEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	o, err := datagramOptions(cfg, p, v)
	if err != nil {
		return nil, err
	}
	t := &port{cfg: cfg, shared: o.Loop >= 0}
	o.Share = func(l *reactor.Loop) *reactor.Share { return t.plugin.Load().share(l) }
	t.plugin.Store(p)
	bound, files, kept := h.inheritedDatagrams(cfg.Endpoint)
	t.kept, o.KeepFile = kept, kept
	switch {
	case len(files) == 0:
		t.on, err = h.reactor.ListenDatagrams(ep, t.build, o)
	case bound == reactor.Endpoint{}:
		t.on, err = h.reactor.ListenDatagramFiles(files, ep, t.build, o)
		closeFiles(files)
	default:
		if err = t.giveAll(files, o); err == nil {
			t.on, err = h.reactor.ListenDatagramFiles(nil, bound, t.build, o)
		}
	}
	if err != nil {
		t.closeGiven()
		return nil, err
	}
	return t, nil
}

// datagramOptions are a port's, read from its configuration.
func datagramOptions(cfg config.Listener, p *plugin, v *version) (o reactor.DatagramOptions, err error) {
	if err := v.takesDatagrams(cfg); err != nil {
		return o, err
	}
	mode, err := strconv.ParseUint(cfg.Mode, 8, 32)
	if err != nil {
		return o, fmt.Errorf("listener %s: mode: %w", cfg.Endpoint, err)
	}
	o = reactor.DatagramOptions{Loop: -1,
		PerPeer: reactor.PeerLimits{DatagramsPerSecond: cfg.PerPeer.DatagramsPerSecond, IPv4: cfg.PerPeer.IPv4Prefix,
			IPv6: cfg.PerPeer.IPv6Prefix}, Broadcast: cfg.Broadcast}
	o.Socket.Buffer = int(cfg.ReceiveBuffer)
	o.Socket.SocketOptions = reactor.SocketOptions{ReusePort: cfg.ReusePort, Mode: os.FileMode(mode),
		Owner: cfg.Owner, Group: cfg.Group}
	if err := o.Socket.Check(); err != nil {
		return o, fmt.Errorf("listener %s: %w", cfg.Endpoint, err)
	}
	if v.cfg.Isolation == config.IsolationShared {
		o.Loop = p.pinned
	}
	if o.Multicast, err = prefixes(cfg.Endpoint, "multicast", cfg.Multicast); err != nil {
		return o, err
	}
	o.Allow, err = reach(p, o)
	return o, err
}

// reach is where a plugin may send to from a port's sockets, beside those who have sent to it:
// to the groups, to all of the machine's networks where it may broadcast, and where it may
// connect to.
func reach(p *plugin, o reactor.DatagramOptions) (func(netip.AddrPort) bool, error) {
	var all []netip.Addr
	if o.Broadcast {
		var err error
		if all, err = broadcasts(); err != nil {
			return nil, fmt.Errorf("broadcast: %w", err)
		}
	}
	return func(to netip.AddrPort) bool {
		a := to.Addr().Unmap()
		in := func(group netip.Prefix) bool { return group.Contains(a) }
		return slices.ContainsFunc(o.Multicast, in) || slices.Contains(all, a) || p.current().guest.MayReach(to)
	}, nil
}

// broadcasts are the addresses that all of a network of this machine's gets.
func broadcasts() ([]netip.Addr, error) {
	list := []netip.Addr{netip.AddrFrom4([4]byte{255, 255, 255, 255})}
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() {
			continue // of IPv6, which has none
		}
		b := p.Masked().Addr().As4()
		for bit := p.Bits(); bit < 32; bit++ {
			b[bit/8] |= 0x80 >> (bit % 8)
		}
		list = append(list, netip.AddrFrom4(b))
	}
	return list, err
}

// build makes the protocol of one of the port's sockets. On its loop.
func (t *port) build(d *reactor.DatagramSocket) (reactor.DatagramProtocol, error) {
	k := &socket{port: t, plugin: t.plugin.Load(), loop: d.Loop()}
	k.guest = guest.NewSocket(k)
	k.plugin.addSocket(k)
	return k.guest, nil
}

// addSocket lists a socket of the plugin's. On its loop.
func (p *plugin) addSocket(k *socket) { p.sockets[k.loop.Index()][k] = struct{}{} }

// Started says that the socket is bound.
func (k *socket) Started() { k.serve() }

// Stopped says that it is closed.
func (k *socket) Stopped() {
	k.cancelRetry()
	delete(k.plugin.sockets[k.loop.Index()], k)
}

// Lost says that the instance has ended. The next one comes at once, unless it seems that it
// would end likewise: then as after a failed start.
func (k *socket) Lost(early bool) {
	wait := time.Duration(0)
	if !early {
		k.lost = 0
	} else {
		wait = min(minBackoff<<min(k.lost, 10), maxBackoff)
		k.lost++
	}
	k.serveIn(wait)
}

func (k *socket) serveIn(wait time.Duration) {
	k.cancelRetry()
	k.retry = k.plugin.share(k.loop).CallLater(wait, func() { k.retry = nil; k.serve() })
}

func (k *socket) cancelRetry() {
	if k.retry != nil {
		k.retry.Cancel()
		k.retry = nil
	}
}

// idle tells whether the socket wants an instance now.
func (k *socket) idle() bool { return k.guest.Instance() == nil && k.retry == nil && !k.leaves }

// serve gives the socket an instance, or has one come. Datagrams wait until then.
func (k *socket) serve() {
	s := k.plugin.slots[k.loop.Index()]
	if s == nil || !k.idle() || !s.ver.guest.ReceivesDatagrams() {
		return // that of a reload serves it
	}
	i, err := s.instance()
	if errors.Is(err, errLate) {
		if err = s.launchForSocket(); err == nil {
			return // its end serves it
		}
	}
	if err != nil {
		k.serveIn(minBackoff)
		return
	}
	k.guest.Begin(i)
}

// launchForSocket launches an instance for a socket, unless enough are being started.
func (s *slot) launchForSocket() error {
	wanted := 1
	if s.ver.cfg.Isolation == config.IsolationConnection {
		wanted = s.waiters.Len() + s.idleSockets()
	}
	if len(s.launches) >= wanted {
		return nil
	}
	return s.beginLaunch(&launch{slot: s})
}

// idleSockets counts the sockets that wait for an instance of the slot's.
func (s *slot) idleSockets() (n int) {
	for k := range s.plugin.sockets[s.place.Loop.Index()] {
		if k.idle() {
			n++
		}
	}
	return n
}

// serveSockets has the sockets that wait for an instance look for one.
func (s *slot) serveSockets() {
	if s.handedOn {
		return
	}
	for k := range s.plugin.sockets[s.place.Loop.Index()] {
		k.serve()
	}
}

// offerSocket gives a started instance of isolation connection to a socket that waits, and
// tells whether there was one.
func (s *slot) offerSocket(i *guest.Instance) bool {
	for k := range s.plugin.sockets[s.place.Loop.Index()] {
		if k.idle() && s.ver.guest.ReceivesDatagrams() {
			s.adoptInstance(i)
			k.guest.Begin(i)
			return true
		}
	}
	return false
}

// takeSockets gives the slot the sockets of those before it that have not moved. On its loop.
func (s *slot) takeSockets() {
	for k := range s.plugin.sockets[s.place.Loop.Index()] {
		if i := k.guest.Instance(); i != nil && i.Guest() != s.ver.guest {
			k.guest.Leave(reactor.Replaced, true)
		}
		k.serve()
	}
}

// giveTo has another plugin's instances get the datagrams. On its loop.
func (k *socket) giveTo(p *plugin) {
	k.guest.Leave(reactor.Replaced, false)
	k.cancelRetry()
	delete(k.plugin.sockets[k.loop.Index()], k)
	k.plugin, k.lost = p, 0
	k.guest.ChangePlugin(p.share(k.loop))
	p.addSocket(k)
	k.serve()
}

// give has the port be a plugin's from now on.
func (t *port) give(p *plugin) error {
	was := t.plugin.Swap(p)
	if was == p {
		return nil
	}
	return t.eachSocket(was, func(k *socket) { k.giveTo(p) })
}

// eachSocket calls do with those of the port's sockets that are a plugin's, each on its loop.
func (t *port) eachSocket(p *plugin, do func(*socket)) error {
	for n, l := range p.loops {
		err := onLoop(l, func() {
			for k := range p.sockets[n] {
				if k.port == t {
					do(k)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
