package host

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// PluginInfo is what runs under a plugin's name.
type PluginInfo struct {
	Name        string              `json:"name"`
	State       string              `json:"state"` // active, failed (it does not start), unloading
	Reason      string              `json:"reason,omitempty"`
	Active      string              `json:"active"` // version
	Module      string              `json:"module"`
	Isolation   config.Isolation    `json:"isolation"`
	Reload      config.ReloadPolicy `json:"reload"`
	Versions    []VersionInfo       `json:"versions"`
	Connections int                 `json:"connections"`
	Instances   int                 `json:"instances"`
	Timers      int                 `json:"timers"`
	Memory      uint64              `json:"memory_bytes"` // linear memory of all instances
	Traps       map[string]uint64   `json:"traps"`        // by cause
	Growths     uint64              `json:"memory_growths_refused"`
	Cut         uint64              `json:"log_bytes_cut"`
	Callbacks   CallbackStats       `json:"callbacks"`
	Trace       string              `json:"trace,omitempty"`        // what is traced: PLUGIN, or a connection's ID
	Failure     string              `json:"last_failure,omitempty"` // of the last change, where it failed
	FailedAt    *time.Time          `json:"last_failure_at,omitempty"`
}

// VersionInfo is a version that is loaded.
type VersionInfo struct {
	Name        string    `json:"name"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"` // active or last active since then; where it was not, loaded since
	SHA256      string    `json:"sha256"`
	Instances   int       `json:"instances"`
	Connections int       `json:"connections"`
}

// ConnInfo is a live connection.
type ConnInfo struct {
	ID        string  `json:"id"` // PLUGIN/HANDLE
	Plugin    string  `json:"plugin"`
	Version   string  `json:"version"`
	Peer      string  `json:"peer"`
	Host      string  `json:"host"`
	Loop      int     `json:"loop"`
	Age       float64 `json:"age_seconds"`
	In        uint64  `json:"bytes_in"`
	Out       uint64  `json:"bytes_out"`
	Queued    int     `json:"bytes_queued"`
	State     string  `json:"state"` // open, closing, half-closed, connecting, paused
	Outgoing  bool    `json:"outgoing"`
	Encrypted bool    `json:"tls"`
}

// ListenerInfo is a socket that is listened on.
type ListenerInfo struct {
	Endpoint    string `json:"endpoint"`
	Plugin      string `json:"plugin"`
	Connections int    `json:"connections"`
	Accepted    uint64 `json:"accepted"`
	Refused     uint64 `json:"refused"`
}

// Plugins tells what runs, by name. It waits for a turn of each loop.
func (h *Host) Plugins() ([]PluginInfo, error) {
	var list []PluginInfo
	for _, p := range h.snapshot() {
		info, err := p.info()
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// Plugin tells what runs under a name.
func (h *Host) Plugin(name string) (PluginInfo, error) {
	p, err := h.plugin(name)
	if err != nil {
		return PluginInfo{}, err
	}
	return p.info()
}

// ReloadPlugin reads a plugin's module again and goes over to it where it has
// changed, or force is set.
func (h *Host) ReloadPlugin(ctx context.Context, name string, force bool) (Outcome, error) {
	p, err := h.plugin(name)
	if err != nil {
		return Outcome{}, err
	}
	return p.reload(ctx, force)
}

// UsePlugin goes back to a version NAME@HASH that is still loaded.
func (h *Host) UsePlugin(ctx context.Context, version string) (Outcome, error) {
	name, _, _ := strings.Cut(version, "@")
	p, err := h.plugin(name)
	if err != nil {
		return Outcome{}, err
	}
	return p.use(ctx, version)
}

func (h *Host) plugin(name string) (*plugin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.plugins[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("plugin %s: %w", name, ErrUnknown)
}

// snapshot lists the plugins by name.
func (h *Host) snapshot() []*plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Values(h.plugins), func(a, b *plugin) int { return strings.Compare(a.name, b.name) })
}

func (p *plugin) info() (PluginInfo, error) {
	p.mu.Lock()
	v := p.active
	if v == nil {
		p.mu.Unlock()
		return PluginInfo{}, ErrNotRunning
	}
	info := PluginInfo{
		Name: p.name, State: "active", Active: v.name, Module: v.mod.from, Isolation: v.cfg.Isolation, Reload: v.cfg.Reload,
		Instances: int(p.instances.Load()), Growths: p.growthsRefused.Load(), Timers: p.timerHandles.count(), Cut: p.budget.cutBytes(), Trace: p.traceText(),
	}
	if p.failure != nil {
		info.Failure, info.FailedAt = clean([]byte(p.failure.Error())), &p.failedAt
	}
	versions := p.listed()
	slots := make([][]*slot, len(versions))
	for n, v := range versions {
		slots[n] = slices.Clone(v.slots)
		info.Versions = append(info.Versions, VersionInfo{
			Name: v.name, State: v.state, Since: v.since, SHA256: hex.EncodeToString(v.mod.sum[:]), Instances: int(v.live.Load()),
		})
	}
	p.mu.Unlock()
	info.Traps = map[string]uint64{}
	for cause, n := range p.traps.all() {
		info.Traps[string(cause)] = n
	}
	for n := range slots {
		for _, s := range slots[n] {
			err := onLoop(s.loop, func() {
				info.Versions[n].Connections += s.connections()
				info.Memory += s.memory()
				if s.err != nil {
					info.State, info.Reason = "failed", clean([]byte(s.err.Error()))
				}
			})
			if err != nil {
				return info, ErrNotRunning
			}
		}
		info.Connections += info.Versions[n].Connections
	}
	for n, l := range p.host.reactor.Loops() {
		if err := onLoop(l, func() { info.Callbacks.add(&p.took[n]) }); err != nil {
			return info, ErrNotRunning
		}
	}
	slices.Reverse(info.Versions) // the active one first
	return info, nil
}

// memory is the linear memory of the slot's instances, in bytes. On its loop.
func (s *slot) memory() (n uint64) {
	for i := range s.all {
		if !i.closed {
			n += uint64(i.mem.Size())
		}
	}
	return n
}

// Connections tells of every live connection of every plugin. It waits for a
// turn of each loop.
func (h *Host) Connections() ([]ConnInfo, error) {
	var list []ConnInfo
	for _, p := range h.all() {
		p.mu.Lock()
		var slots []*slot
		for _, v := range p.listed() {
			slots = append(slots, v.slots...)
		}
		p.mu.Unlock()
		for _, s := range slots {
			if err := onLoop(s.loop, func() { list = append(list, s.conns()...) }); err != nil {
				return nil, ErrNotRunning
			}
		}
	}
	return list, nil
}

// conns describes the slot's connections. On its loop.
func (s *slot) conns() []ConnInfo {
	var list []ConnInfo
	for i := range s.all {
		for _, c := range i.conns {
			stats, state := c.t.Stats(), c.t.State()
			list = append(list, ConnInfo{
				ID: fmt.Sprintf("%s/%d", s.ver.plugin.name, c.handle), Plugin: s.ver.plugin.name, Version: s.ver.name,
				Peer: c.t.Peer(), Host: c.t.Host(), Loop: s.loop.Index(), Age: (s.loop.Now() - stats.Opened).Seconds(),
				In: stats.In, Out: stats.Out, Queued: stats.Queued, State: c.stateText(state),
				Outgoing: state&reactor.StateOutgoing != 0, Encrypted: state&reactor.StateTLS != 0,
			})
		}
	}
	return list
}

func (c *guestConn) stateText(s reactor.State) string {
	switch {
	case c.stage == stageConnecting:
		return "connecting"
	case s&reactor.StateClosing != 0:
		return "closing"
	case s&(reactor.StatePeerClosed|reactor.StateWriteClosed) != 0:
		return "half-closed"
	case s&reactor.StatePaused != 0:
		return "paused"
	}
	return "open"
}

// ListenerInfos tells of the sockets that are listened on, in the
// configuration's order.
func (h *Host) ListenerInfos() []ListenerInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []ListenerInfo
	for _, l := range h.listeners {
		s := l.ln.Stats()
		list = append(list, ListenerInfo{l.ln.Endpoint().String(), l.plugin.name, s.Connections, s.Accepted, s.Refused})
	}
	return list
}

// LoopStats reads the event loops' counters.
func (h *Host) LoopStats() []reactor.LoopStats {
	var list []reactor.LoopStats
	for _, l := range h.reactor.Loops() {
		list = append(list, l.Stats())
	}
	return list
}

// Renew ends those of a plugin's instances that have no connections, and starts
// new ones, which have seen nothing. It returns when they have started.
func (h *Host) Renew(name string) error {
	p, err := h.plugin(name)
	if err != nil {
		return err
	}
	for n, l := range h.reactor.Loops() {
		started := make(chan struct{})
		err := onLoop(l, func() {
			s := p.slots[n]
			if s == nil {
				close(started)
				return
			}
			for i := range s.all {
				if len(i.conns) == 0 {
					i.retire()
				}
			}
			s.rehearse(func() { close(started) })
		})
		if err != nil {
			return ErrNotRunning
		}
		<-started
	}
	return nil
}
