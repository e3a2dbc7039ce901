package host

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// plugin is a name in the configuration, and what outlives its versions.
type plugin struct {
	host   *Host
	name   string
	log    hclog.Logger
	budget logBudget
	notes  notes

	connHandles, timerHandles handles

	slots   []*slot          // by loop, of the active version; each loop uses its own. nil where it does not run
	took    []callbacks      // by loop; each loop counts in its own
	shares  []*reactor.Share // by loop
	pinned  int              // the loop of isolation shared
	scratch []byte           // where the last bytes of connections go whose instance is dead

	canary atomic.Pointer[canary] // while one runs
	trace  atomic.Pointer[traced] // of new instances

	changing sync.Mutex // held during a change; a second change is refused
	over     bool       // under changing: the plugin is unloaded, or the host is ending
	mu       sync.Mutex // of what follows
	active   *version
	trying   *version   // the one that a change prepares; nil = none
	replaced []*version // those that are not freed yet, the oldest first
	unloaded bool
	failure  error // of the last change; nil where it went well
	failedAt time.Time
	freeing  sync.WaitGroup

	instances      atomic.Int32  // live ones
	failing        atomic.Int32  // slots whose start failed
	starts         atomic.Uint64 // off the loops
	traps          trapCounts
	growthsRefused atomic.Uint64
}

func newPlugin(h *Host, name string, cfg config.Plugin, pinned int) *plugin {
	p := &plugin{host: h, name: name, log: h.log.With("plugin", name), pinned: pinned, scratch: make([]byte, 64<<10)}
	p.budget.rate = int(cfg.Limits.LogBytes)
	if slices.Contains(h.o.Trace, name) {
		p.trace.Store(&traced{})
	}
	if h.reactor != nil {
		p.took = make([]callbacks, len(h.reactor.Loops()))
		for _, l := range h.reactor.Loops() {
			p.shares = append(p.shares, l.NewShare())
		}
	}
	return p
}

// share is what the plugin may take of a loop's turns.
func (p *plugin) share(l *reactor.Loop) *reactor.Share { return p.shares[l.Index()] }

// errNotHere refuses a connection that came to a loop where the plugin does not
// run: its isolation has just changed to shared, or it is being unloaded.
var errNotHere = errors.New("the plugin does not run on this loop")

// BuildProtocol makes the Protocol of an accepted connection.
func (p *plugin) BuildProtocol(t reactor.Transport) (reactor.Protocol, error) {
	s := p.slots[t.Loop().Index()]
	if s == nil {
		return nil, errNotHere
	}
	if k := p.canary.Load(); k != nil {
		if first := k.slot(t.Loop().Index()); first != nil {
			s = first
		}
	}
	return p.buildOn(s, t)
}

// buildOn is BuildProtocol for one of the loop's slots.
func (p *plugin) buildOn(s *slot, t reactor.Transport) (reactor.Protocol, error) {
	i, err := s.instance()
	switch {
	case err == errLate:
		return nil, s.await(t)
	case err != nil:
		return nil, err
	}
	return p.build(i, t)
}

// build makes the Protocol with the instance that it is to have.
func (p *plugin) build(i *instance, t reactor.Transport) (reactor.Protocol, error) {
	c := &guestConn{in: i, t: t, handle: p.connHandles.take()}
	if err := c.build(); err != nil {
		p.connHandles.free(c.handle)
		i.settle()
		return nil, err
	}
	return c, nil
}

// trapped counts and logs a trap: always its first line, at the rate of notes, and
// the stack as far as the plugin's log has room. What it says of the guest's
// functions is the guest's text.
func (p *plugin) trapped(t *TrapError) {
	p.traps.add(t.Cause)
	if k := p.canary.Load(); k != nil {
		k.trapped(t)
	}
	now := p.host.now()
	ok, before := p.notes.take(now, trapNote)
	if !ok {
		return
	}
	args := []any{"version", t.Version, "export", t.Export, "cause", string(t.Cause), "err", clean([]byte(firstLine(t.Err)))}
	if t.Conn != 0 {
		args = append(args, "conn", t.Conn)
	}
	if stack := clean([]byte(t.Stack())); stack != "" {
		if ok, cut := p.budget.take(now, lineOverhead+logged(stack)); ok {
			p.tellCut(cut)
			args = append(args, "stack", stack)
		}
	}
	p.log.Error(trapNote, append(args, before...)...)
}
