package host

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// scanPlace is where a scan of the loops' connections has come to.
type scanPlace struct{ loop, slot int }

func parsePlace(text string) (at scanPlace, err error) {
	if text == "" {
		return at, nil
	}
	loop, slot, _ := strings.Cut(text, ".")
	var loopErr, slotErr error
	at.loop, loopErr = strconv.Atoi(loop)
	at.slot, slotErr = strconv.Atoi(slot)
	if loopErr != nil || slotErr != nil || at.loop < 0 || at.slot < 0 {
		return at, fmt.Errorf("after: found %q, wanted what a page before has as next: %w", text, ErrNoConnection)
	}
	return at, nil
}

// eachConnection has take called on the loops with each connection from a place on, most
// in a turn, until it returns false; then next is told where to go on, where there is
// more. An error is ErrNotRunning or ctx's.
func (h *Host) eachConnection(ctx context.Context, at scanPlace, most int,
	take func(reactor.Transport, reactor.Protocol) bool, next *string) error {
	if !h.ready.started() {
		return ErrNotRunning
	}
	loops := h.reactor.Loops()
	for ; at.loop < len(loops); at = (scanPlace{at.loop + 1, 0}) {
		for at.slot >= 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			more := true
			err := onLoop(loops[at.loop], func() {
				at.slot = loops[at.loop].SomeConnections(at.slot, most, func(t reactor.Transport, p reactor.Protocol) bool {
					more = take(t, p)
					return more
				})
			})
			if err != nil {
				return ErrNotRunning
			}
			if !more {
				if at.slot < 0 {
					at = scanPlace{at.loop + 1, 0}
				}
				if at.loop < len(loops) && next != nil {
					*next = fmt.Sprintf("%d.%d", at.loop, at.slot)
				}
				return nil
			}
		}
	}
	return nil
}

// scan is a filter, made ready.
type scan struct {
	f   ConnFilter
	ids map[string]bool
}

// unknownListener is the endpoint of a listener that is not there.
type unknownListener string

func (e unknownListener) Error() string { return "listener " + string(e) + ": nothing listens there" }

func (unknownListener) Is(target error) bool { return target == ErrUnknown }

// newScan checks that what f names is there.
func (h *Host) newScan(f ConnFilter) (*scan, error) {
	s := &scan{f: f}
	if f.Plugin == "" {
		f.Plugin, _, _ = strings.Cut(f.Version, "@")
	}
	if f.Plugin != "" {
		if err := h.knows(f.Plugin, f.Version); err != nil {
			return nil, err
		}
	}
	if f.Listener != "" && !slices.ContainsFunc(h.Listeners(), func(e reactor.Endpoint) bool {
		return e.String() == f.Listener
	}) {
		return nil, unknownListener(f.Listener)
	}
	if len(f.IDs) > 0 {
		s.ids = map[string]bool{}
		for _, id := range f.IDs {
			s.ids[id] = true
		}
	}
	return s, nil
}

// knows is an error where there is no such plugin, loaded or with connections left, or
// version of it; "" = any.
func (h *Host) knows(plugin, version string) error {
	var have []string
	for _, p := range h.all() {
		if p.name != plugin {
			continue
		}
		p.mu.Lock()
		for _, v := range slices.Backward(p.listed()) {
			have = append(have, v.name)
		}
		p.mu.Unlock()
	}
	switch {
	case len(have) == 0: // nothing is left of what was unloaded
		return fmt.Errorf("plugin %s: %w", plugin, ErrUnknown)
	case version != "" && !slices.Contains(have, version):
		return fmt.Errorf("version %s: %w; loaded: %s", version, ErrUnknown, strings.Join(have, ", "))
	}
	return nil
}

// match tells whether a connection is meant. On its loop.
func (s *scan) match(t reactor.Transport, p reactor.Protocol) (c guest.Connection, of *guest.Guest, ok bool) {
	c, of, ok = guest.ConnectionOf(p)
	if !ok {
		return c, of, false
	}
	f := &s.f
	if f.Plugin != "" && of.AccountName() != f.Plugin || f.Version != "" && of.Name() != f.Version ||
		s.ids != nil && !s.ids[connID(of, c)] || f.State != "" && stateText(c.Connecting, t.State()) != f.State {
		return c, of, false
	}
	if stats := t.Stats(); f.Listener != "" || f.IdleFor > 0 || f.Age > 0 {
		now := t.Loop().Now()
		if f.Listener != "" && listenerText(stats) != f.Listener ||
			now-stats.Active < f.IdleFor || now-stats.Opened < f.Age {
			return c, of, false
		}
	}
	return c, of, !f.Peer.IsValid() || within(t.Peer(), f.Peer)
}

// within tells whether an endpoint is an address of a prefix.
func within(endpoint string, prefix netip.Prefix) bool {
	_, text, _ := strings.Cut(endpoint, "://")
	a, err := netip.ParseAddrPort(text)
	return err == nil && prefix.Contains(a.Addr().Unmap().WithZone(""))
}

func connID(of *guest.Guest, c guest.Connection) string {
	return of.AccountName() + "/" + strconv.Itoa(int(c.Handle))
}

func listenerText(s reactor.ConnStats) string {
	if s.Listener == nil {
		return ""
	}
	return s.Listener.Endpoint().String()
}
