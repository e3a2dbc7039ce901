package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// plugin is a name in the configuration, and what outlives its versions.
type plugin struct {
	host    *Host
	name    string
	log     hclog.Logger
	account *guest.Account

	loops   []*reactor.Loop        // the host's; none where it only validates
	slots   []*slot                // by loop, of the active version; each loop uses its own. nil where it does not run
	took    []guest.Callbacks      // by loop; each loop counts in its own
	shares  []*reactor.Share       // by loop
	pinned  int                    // the loop of isolation shared
	sockets []map[*socket]struct{} // configured ones, by loop; each loop uses its own
	inside  *reactor.Listener      // of other plugins' connections; nil where it does not run

	canary atomic.Pointer[canary] // while one runs

	changing  sync.Mutex // held during a change; a second change is refused
	over      bool       // under changing: the plugin is unloaded, or the host is ending
	mu        sync.Mutex // of what follows
	active    *version
	preparing *version   // the one that a change prepares; nil = none
	replaced  []*version // those that are not freed yet, the oldest first
	kept      []Kept     // of before this process, the oldest first
	unloaded  bool
	leaving   bool          // unloaded, since another process has taken over
	gone      chan struct{} // closed when unloaded is set
	pin       *Pin          // nil = none; replaced as a whole
	seen      content       // of what is configured, when it was read last
	failure   error         // of the last change; nil where it went well
	failedAt  time.Time
	freeing   sync.WaitGroup

	instances atomic.Int32  // live ones
	failing   atomic.Int32  // slots whose start failed
	launched  atomic.Uint64 // instances, off the loops
}

func newPlugin(h *Host, name string, cfg config.Plugin, pinned int) *plugin {
	log := h.log.With("plugin", name)
	p := &plugin{host: h, name: name, log: log, pinned: pinned, gone: make(chan struct{}),
		account: guest.NewAccount(name, log, int(cfg.Limits.LogBytes), h.now)}
	p.sample()
	if slices.Contains(h.o.Trace, name) {
		p.account.SetTrace(0, true)
	}
	p.pin, p.kept = h.takePin(name), h.takeKept(name)
	if h.reactor != nil {
		p.loops = h.reactor.Loops()
		p.took = make([]guest.Callbacks, len(p.loops))
		for _, l := range p.loops {
			p.shares = append(p.shares, l.NewShare())
			p.sockets = append(p.sockets, map[*socket]struct{}{})
		}
	}
	return p
}

// loadVersion reads, checks and compiles a plugin's module. Any goroutine.
func (p *plugin) loadVersion(ctx context.Context, cfg config.Plugin, t config.Trust) (*version, error) {
	began := time.Now()
	defer p.host.leftovers.beginLoading()()
	defer p.setPreparing(nil)
	m, err := p.host.sources.readModule(ctx, p.name, cfg, t)
	if err != nil {
		return nil, err
	}
	p.noteSeen(m)
	v := p.loadAtStart(ctx, m, cfg, t)
	if v == nil {
		if v, err = newVersion(ctx, p, m, cfg); err != nil {
			return nil, err
		}
	}
	var signed []any
	if m.signer != nil {
		signed = []any{"signed_by", fmt.Sprintf("%X", m.signer.ID())}
	}
	p.log.With(signed...).Info("loaded", "version", v.name, "module", m.from, "bytes", m.size,
		"isolation", cfg.Isolation, "took", time.Since(began).Round(time.Millisecond))
	return v, nil
}

// startOnLoops starts a plugin that has been loaded, on the loops where it runs. wg is
// done when it has started or failed on all of them.
func (p *plugin) startOnLoops(wg *sync.WaitGroup) error {
	v := p.active
	v.state, v.since = StateActive, p.host.wall()
	p.freeEmpty()
	p.slots = make([]*slot, len(p.loops))
	for n, l := range p.loops {
		if !v.runsOn(n) {
			continue
		}
		s := newSlot(v, l)
		p.slots[n] = s
		v.addSlot(s)
		wg.Add(1)
		if err := l.CallFromThread(func() { s.startAhead(wg.Done) }); err != nil {
			wg.Done()
			return err
		}
	}
	return nil
}

// openInside lets other plugins connect. It comes before any of them is started.
func (p *plugin) openInside() (err error) {
	p.inside, err = p.host.reactor.ListenInside(p.name, p, p.insideOptions(nil))
	return err
}

// insideOptions are those of connections from other plugins. next is who is behind in a chain.
func (p *plugin) insideOptions(next *reactor.Listener) reactor.ListenOptions {
	return reactor.ListenOptions{Loop: p.loop(), Share: p.share, Next: next}
}

// pluginInside is where another plugin connects to; nil = nowhere. On any loop.
func (h *Host) pluginInside(name string) *reactor.Listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.plugins[name]; p != nil {
		return p.inside
	}
	return nil
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
	return s.buildProtocol(t)
}

// current is the active version.
func (p *plugin) current() *version {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}

// loop is where a plugin's connections are pinned to, or -1, which it is for nil too.
func (p *plugin) loop() int {
	if p != nil && p.current().cfg.Isolation == config.IsolationShared {
		return p.pinned
	}
	return -1
}

// freeName is the name for a version beside those that are loaded, and those that are kept
// and not the same.
func (p *plugin) freeName(m *module, cfg config.Plugin) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, taken := p.name+"@"+m.hash(), map[string]bool{}
	for _, k := range p.kept {
		taken[k.Version] = !k.is(m, cfg)
	}
	for _, v := range p.versions() {
		taken[v.name] = true
	}
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// setPreparing has v listed beside the versions that serve, while it is prepared.
func (p *plugin) setPreparing(v *version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.preparing = v
}

// noteFailure keeps why the last change failed, until one does not.
func (p *plugin) noteFailure(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure, p.failedAt = err, p.host.wall()
}

// versions are all that are loaded, the active one last. p.mu is held.
func (p *plugin) versions() []*version {
	list := slices.Clone(p.replaced)
	if p.active != nil && !p.unloaded {
		list = append(list, p.active)
	}
	return list
}

// listed are the versions to tell of, the active one last. p.mu is held.
func (p *plugin) listed() []*version {
	list := p.versions()
	if p.preparing != nil && !slices.Contains(list, p.preparing) {
		list = slices.Insert(list, 0, p.preparing)
	}
	return list
}

// allSlots are the slots of all versions. Each is its loop's.
func (p *plugin) allSlots() (list []*slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.listed() {
		list = append(list, v.slots...)
	}
	return list
}

// onLoop runs fn on a loop and waits for it.
func onLoop(l *reactor.Loop, fn func()) error { return await(l.CallFromThread, fn) }

// onShare is onLoop for the plugin: its other callbacks count against the same share
// of the loop's turns.
func (p *plugin) onShare(l *reactor.Loop, fn func()) error {
	return await(p.share(l).CallFromThread, fn)
}

// await has call run fn, and waits for it.
func await(call func(func()) error, fn func()) error {
	done := make(chan struct{})
	if err := call(func() { defer close(done); fn() }); err != nil {
		return err
	}
	<-done
	return nil
}
