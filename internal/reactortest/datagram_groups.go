package reactortest

import (
	"errors"
	"net/netip"

	"github.com/wirehost/wirehost/reactor"
)

// groups allows some.
func groups(list ...string) (o reactor.DatagramOptions) {
	for _, text := range list {
		o.Multicast = append(o.Multicast, netip.MustParsePrefix(text))
	}
	return o
}

// rowJoin joins groups that are allowed, and gets what is sent there until it leaves them.
func rowJoin(g *datagramRig) {
	if g.b.Group == nil {
		g.Skip("groups are for a network of the test's own")
	}
	g.host = "0.0.0.0" // a socket at one address gets what is sent to that one
	g.serve(groups("239.1.0.0/16"))
	const group = "239.1.2.3"
	send := func(text string) {
		g.Helper()
		if err := g.b.Group(g.T, group, g.port.Endpoint().Port, []byte(text)); err != nil {
			g.Fatal(err)
		}
	}
	do := func(what string, allowed bool, call func(*reactor.DatagramSocket) error) {
		g.Helper()
		g.onLoop(func() {
			if err := call(g.p.s); allowed != (err == nil) || err != nil && !errors.Is(err, reactor.ErrNotAllowed) {
				g.Errorf("%s: found %v", what, err)
			}
		})
	}
	join := func(group string) func(*reactor.DatagramSocket) error {
		return func(s *reactor.DatagramSocket) error { return s.Join(group) }
	}
	send("before")
	do("a group of others", false, join("239.2.0.1"))
	do("a group of IPv6", false, join("ff02::42"))
	do("a group", true, join(group+g.b.Zone))
	send("joined")
	g.want("joined")
	do("leave", true, func(s *reactor.DatagramSocket) error { return s.Leave(group + g.b.Zone) })
	send("left")
	do("again", true, join(group+g.b.Zone))
	send("again")
	g.want("again")
	g.onLoop(func() {
		for _, bad := range []string{"", "127.0.0.1", "239.1.2.3.4", "239.1.2.3%no-such-interface"} {
			if err := g.p.s.Join(bad); err == nil && (g.b.Zone != "" || bad != "239.1.2.3%no-such-interface") {
				g.Errorf("%q was joined", bad)
			}
		}
	})
}

// rowSetOption sets what is there to be set, and no more.
func rowSetOption(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	for _, c := range []struct {
		option reactor.DatagramOption
		value  int
		wanted bool
	}{
		{reactor.MulticastHops, 0, true}, {reactor.MulticastHops, 255, true}, {reactor.MulticastHops, 256, false},
		{reactor.MulticastLoop, 0, true}, {reactor.MulticastLoop, 1, true}, {reactor.MulticastLoop, 2, false},
		{reactor.Hops, 1, true}, {reactor.Hops, 0, false}, {reactor.Hops, -1, false},
		{reactor.Broadcast, 0, true}, {reactor.Broadcast, 1, false}, {0, 1, false}, {5, 1, false},
	} {
		g.onLoop(func() {
			err := g.p.s.SetOption(c.option, c.value)
			switch {
			case g.b.Unix && err == nil:
				g.Errorf("option %d: a Unix socket has taken it", c.option)
			case !g.b.Unix && c.wanted != (err == nil):
				g.Errorf("option %d, %d: found %v", c.option, c.value, err)
			case !g.b.Unix && c.option == reactor.Broadcast && c.value == 1 && !errors.Is(err, reactor.ErrNotAllowed):
				g.Errorf("broadcast: found %v, wanted that it is not allowed", err)
			}
		})
	}
}

// rowConfigure gives a port other options, while its socket goes on.
func rowConfigure(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(g.p.s.PauseProducing)
	g.send("a")
	o := reactor.DatagramOptions{Broadcast: true}
	o.Socket.Buffer = 256 << 10
	if err := g.port.Configure(o); err != nil {
		g.Fatal(err)
	}
	if !g.b.Unix {
		g.onLoop(func() {
			if err := g.p.s.SetOption(reactor.Broadcast, 1); err != nil {
				g.Error(err)
			}
		})
	}
	g.onLoop(g.p.s.ResumeProducing)
	g.want("a")
}
