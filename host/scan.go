package host

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// scanPlace is where a scan of the loops' connections has come to.
type scanPlace struct{ loop, slot int }

// text is the place as ConnPage.Next has it; "" = there is none, of so many loops.
func (at scanPlace) text(loops int) string {
	if at.loop >= loops {
		return ""
	}
	return fmt.Sprintf("%d.%d", at.loop, at.slot)
}

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

// walk goes over the loops' connections in pieces.
type walk struct {
	h    *Host
	at   scanPlace
	most int // connections that are looked at in a turn of a loop
	// patience is how long the loops may take to answer, all together; 0 = for ever. One
	// that is late is left out, where nothing has been told yet, or paged is not set.
	patience time.Duration
	paged    bool
	late     []int // loops that were left out
}

// each has take called on the loops with each connection, until it returns false, or
// time is up; next is where to go on then, "" = there is no more. take must be done with
// what it has been given when it returns, and is never called by two loops at once. An
// error is ErrNotRunning or ctx's.
func (w *walk) each(ctx context.Context, take func(reactor.Transport, reactor.Protocol) bool) (next string, err error) {
	if !w.h.ready.started() {
		return "", ErrNotRunning
	}
	loops := w.h.reactor.Loops()
	t := time.NewTimer(max(w.patience, 0))
	defer t.Stop()
	for told := false; w.at.loop < len(loops); {
		p := &piece{answer: make(chan struct{})}
		if loops[w.at.loop].CallFromThread(func() { p.look(loops[w.at.loop], w, take) }) != nil {
			return "", ErrNotRunning
		}
		over := t.C
		if w.patience == 0 {
			over = nil
		}
		select {
		case <-p.answer:
		case <-over:
			t.Reset(grace)
		case <-ctx.Done():
		}
		missed := p.abandon()
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case missed && told && w.paged: // the next page begins with it
			return w.at.text(len(loops)), nil
		case missed:
			w.late = append(w.late, w.at.loop)
			w.at = scanPlace{w.at.loop + 1, 0}
			continue
		case p.next >= 0:
			w.at.slot = p.next
		default:
			w.at = scanPlace{w.at.loop + 1, 0}
		}
		if told = true; p.enough {
			return w.at.text(len(loops)), nil
		}
	}
	return "", nil
}

// grace is how long a loop has to answer where another has used up all patience.
const grace = 50 * time.Millisecond

// piece is a look at some of a loop's connections, which who has asked for it may not
// wait for.
type piece struct {
	answer    chan struct{} // closed when it is over
	mu        sync.Mutex    // held during it
	abandoned bool
	looked    bool
	next      int  // slot; -1 = there is no more
	enough    bool // take has returned false
}

// look is the look. On the loop.
func (p *piece) look(l *reactor.Loop, w *walk, take func(reactor.Transport, reactor.Protocol) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.abandoned {
		return // w may be elsewhere
	}
	p.looked = true
	p.next = l.SomeConnections(w.at.slot, w.most, func(t reactor.Transport, proto reactor.Protocol) bool {
		p.enough = !take(t, proto)
		return !p.enough
	})
	close(p.answer)
}

// abandon has the look not begin any more, and tells whether that was in time.
func (p *piece) abandon() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	return !p.looked
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

// listensOn tells whether the configuration or a guest has an endpoint be listened on.
func (h *Host) listensOn(endpoint string) bool {
	for _, l := range h.guestListeners {
		if l.On.Endpoint().String() == endpoint {
			return true
		}
	}
	return slices.ContainsFunc(h.ListenerInfos(), func(l ListenerInfo) bool { return l.Endpoint == endpoint })
}

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
	if f.Listener != "" && !h.listensOn(f.Listener) {
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
