package host

import (
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// PluginInfo is what runs under a plugin's name, with sums over all its versions that
// are loaded.
type PluginInfo struct {
	Name        string              `json:"name"`
	State       string              `json:"state"`            // active, failed (it does not start), unloading
	Reason      string              `json:"reason,omitempty"` // why it failed to start
	Active      string              `json:"active"`           // version
	Module      string              `json:"module"`           // of the active version, as its settings name it
	Isolation   config.Isolation    `json:"isolation"`
	Reload      config.ReloadPolicy `json:"reload"`
	Versions    []VersionInfo       `json:"versions"`
	Connections int                 `json:"connections"`
	Instances   int                 `json:"instances"`
	PagedOut    int                 `json:"paged_out"` // of the instances, those that are written down
	Timers      int                 `json:"timers"`
	Listeners   int                 `json:"listeners"` // that its instances have made
	// linear memory of all instances; of those that are paged out, what they have written
	Memory    uint64            `json:"memory_bytes"`
	Traps     map[string]uint64 `json:"traps"`                  // ever, by guest.TrapError.Cause
	Growths   uint64            `json:"memory_growths_refused"` // ever
	Cut       uint64            `json:"log_bytes_cut"`          // ever, of the guests' own log
	Callbacks CallbackStats     `json:"callbacks"`
	// metrics of the guests' own, and values of them, that were refused, ever
	Unrecorded uint64         `json:"-"`
	Metrics    []guest.Metric `json:"-"`                      // of the guests' own
	Stale      bool           `json:"stale,omitempty"`        // a guest holds an event loop, whose part is of before
	Trace      string         `json:"trace,omitempty"`        // what is traced: PLUGIN, or a connection's ID
	PinnedAt   *time.Time     `json:"pinned_at,omitempty"`    // while the active version is pinned
	PinnedBy   string         `json:"pinned_by,omitempty"`    // who did that
	Failure    string         `json:"last_failure,omitempty"` // of the last change, where it failed
	FailedAt   *time.Time     `json:"last_failure_at,omitempty"`
}

// VersionInfo is a version that is loaded.
type VersionInfo struct {
	Name        string    `json:"name"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"` // active or last active since then; where it was not, loaded since
	SHA256      string    `json:"sha256"`
	Assets      string    `json:"assets_sha256,omitempty"` // of what its assets are; "" = it has none
	Instances   int       `json:"instances"`
	Connections int       `json:"connections"`
}

// ListenerInfo is a socket that is listened on.
type ListenerInfo struct {
	// ID is PLUGIN/HANDLE of one that a guest has made, of a version NAME@HASH, in its instance
	// on that loop, from 0 up; one that is configured has none of them.
	ID          string            `json:"id,omitempty"`
	Version     string            `json:"version,omitempty"`
	Loop        *int              `json:"loop,omitempty"`
	Endpoint    string            `json:"endpoint"`
	Peer        string            `json:"peer,omitempty"`  // whom a guest's socket for datagrams is connected to
	Plugin      string            `json:"plugin"`          // "" where rules alone say whose a connection is
	Chain       []string          `json:"chain,omitempty"` // plugins one behind another, of which Plugin is the first
	Route       []string          `json:"route,omitempty"` // plugins that its rules give connections to, each once
	Connections int               `json:"connections"`     // live ones
	Accepted    uint64            `json:"accepted"`        // ever
	Refused     uint64            `json:"refused"`         // ever: over a limit, out of descriptors, by the plugin, …
	RefusedBy   map[string]uint64 `json:"refused_by"`      // of those, why: each reason that there is
	Held        uint64            `json:"held"`            // ever: how often accepting has waited for new_per_second
	// handshakes of TLS that have failed, ever, by cause (reactor.ListenerStats)
	Handshakes map[string]uint64 `json:"handshake_failures,omitempty"`
	Routed     map[string]uint64 `json:"routed,omitempty"`    // ever: what its rules have given to whom, by plugin
	Datagrams  *DatagramInfo     `json:"datagrams,omitempty"` // of one for datagrams; else nil
}

// DatagramInfo is what a listener for datagrams has counted, ever.
type DatagramInfo struct {
	Received   uint64 `json:"received"`  // that guests were told of
	BytesIn    uint64 `json:"bytes_in"`  // of payload
	Sent       uint64 `json:"sent"`      // that the system has taken
	BytesOut   uint64 `json:"bytes_out"` // of payload
	Batches    uint64 `json:"batches"`   // in which they were received
	Overflowed uint64 `json:"overflow"`  // dropped by the system: the receive buffer had no room
	Limited    uint64 `json:"limit"`     // dropped: over datagrams_per_second
	Unsent     uint64 `json:"unsent"`    // that the system has not taken
}

// StateUnloading is the PluginInfo.State of a plugin that was unloaded and has connections
// left. Another may be loaded under its name.
const StateUnloading = "unloading"

// Plugins tells what runs, by name, and behind that what was unloaded and has connections
// left. It waits for a turn of each loop, for no longer than Options.Patience. The error is
// ErrNotRunning.
func (h *Host) Plugins() ([]PluginInfo, error) {
	list, err := h.infos(h.all())
	return slices.DeleteFunc(list, func(p PluginInfo) bool {
		return p.State == StateUnloading && len(p.Versions) == 0
	}), err
}

// Plugin tells what runs under a name, as Plugins does. The error is ErrUnknown or
// ErrNotRunning.
func (h *Host) Plugin(name string) (PluginInfo, error) {
	p, err := h.plugin(name)
	if err != nil {
		return PluginInfo{}, err
	}
	list, err := h.infos([]*plugin{p})
	if err != nil {
		return PluginInfo{}, err
	}
	return list[0], nil
}

// infos are what runs of some plugins.
func (h *Host) infos(plugins []*plugin) ([]PluginInfo, error) {
	if len(plugins) == 0 {
		return nil, nil
	}
	list, slots := make([]PluginInfo, len(plugins)), make([][][]*slot, len(plugins))
	for n, p := range plugins {
		var err error
		if list[n], slots[n], err = p.infoSoFar(); err != nil {
			return nil, err
		}
	}
	views, err := h.look()
	if err != nil {
		return nil, err
	}
	for n, p := range plugins {
		list[n].complete(p, slots[n], views)
	}
	return list, nil
}

// complete adds what the loops have told.
func (info *PluginInfo) complete(p *plugin, slots [][]*slot, views []view) {
	for n := range slots {
		for _, s := range slots[n] {
			v := views[s.place.Loop.Index()].slots[s]
			info.Versions[n].Connections += v.connections
			info.Memory += v.memory
			info.PagedOut += v.pagedOut
			if v.err != nil {
				info.State, info.Reason = "failed", guest.Clean(v.err.Error())
			}
		}
		info.Connections += info.Versions[n].Connections
	}
	for _, v := range views {
		took := v.took[p]
		info.Callbacks.add(&took)
		info.Stale = info.Stale || v.late > 0
	}
	slices.Reverse(info.Versions) // the active one first
}

// infoSoFar is what is known of a plugin without asking its loops, and the slots of each
// of its versions, whose share of the sums is missing.
func (p *plugin) infoSoFar() (info PluginInfo, slots [][]*slot, err error) {
	counts := p.account.Counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.active
	if v == nil {
		return info, nil, ErrNotRunning
	}
	info = PluginInfo{
		Name: p.name, State: "active", Active: v.name, Module: v.mod.from,
		Isolation: v.cfg.Isolation, Reload: v.cfg.Reload,
		Instances: int(p.instances.Load()), Timers: counts.Timers, Listeners: counts.Listeners,
		Growths: counts.GrowthsRefused, Cut: counts.LogBytesCut,
		Trace: p.account.Traced(), Traps: counts.Traps, Metrics: p.account.Metrics(),
		Unrecorded: counts.MetricsRefused,
	}
	if v.mod.copied { // nobody has configured where that is
		info.Module = v.cfg.Module
	}
	if p.unloaded {
		info.State, info.Active = StateUnloading, ""
	}
	if p.pin != nil {
		at := p.pin.Since
		info.PinnedAt, info.PinnedBy = &at, p.pin.By
	}
	if p.failure != nil {
		at := p.failedAt
		info.Failure, info.FailedAt = guest.Clean(p.failure.Error()), &at
	}
	listed := p.listed()
	for _, k := range p.kept {
		if slices.ContainsFunc(listed, func(v *version) bool { return v.name == k.Version }) {
			continue // it is being prepared
		}
		slots = append(slots, nil)
		info.Versions = append(info.Versions, VersionInfo{Name: k.Version, State: StateStandby, Since: k.Since,
			SHA256: k.SHA256, Assets: k.Assets})
	}
	for _, v := range listed {
		slots = append(slots, slices.Clone(v.slots))
		info.Versions = append(info.Versions, VersionInfo{
			Name: v.name, State: v.state, Since: v.since, SHA256: v.mod.sumText(),
			Assets: v.mod.assets.Sum(), Instances: int(v.live.Load()),
		})
	}
	return info, slots, nil
}

// ListenerInfos tells of the sockets that are configured to be listened on, in the
// configuration's order.
func (h *Host) ListenerInfos() []ListenerInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []ListenerInfo
	h.inOrder(func(l *listener) {
		list = append(list, l.info())
	}, func(t *port) { list = append(list, t.info()) })
	return list
}

func (l *listener) info() ListenerInfo {
	info := listenerInfo(l.name(), l.ln)
	info.Chain, info.Route, info.Routed = l.cfg.Chain, routePlugins(l.cfg), l.routed.counts()
	return info
}

func listenerInfo(plugin string, ln *reactor.Listener) ListenerInfo {
	s := ln.Stats()
	return ListenerInfo{Endpoint: ln.Endpoint().String(), Plugin: plugin, Connections: s.Connections,
		Accepted: s.Accepted, Refused: s.Refused, RefusedBy: s.RefusedBy, Held: s.Held, Handshakes: s.Handshakes}
}

// LoopInfo is how an event loop does.
type LoopInfo struct {
	reactor.LoopStats
	reactor.LoopDetails
	Queued uint64        // bytes that its connections have to send
	Late   time.Duration // for how long it has not answered: what only it can tell is of then; 0 = it has
}

// LoopInfos tells how the event loops do. It waits for a turn of each, for no longer than
// Options.Patience. The error is ErrNotRunning.
func (h *Host) LoopInfos() ([]LoopInfo, error) {
	if !h.ready.started() {
		return nil, ErrNotRunning
	}
	views, err := h.look()
	if err != nil {
		return nil, err
	}
	var list []LoopInfo
	for n, l := range h.reactor.Loops() {
		list = append(list, LoopInfo{LoopStats: l.Stats(), LoopDetails: views[n].details, Queued: views[n].queued,
			Late: views[n].late})
	}
	return list, nil
}

// CallbackBounds are the upper bounds, in seconds, of CallbackStats.Counts but
// for the last, which has none.
func CallbackBounds() []float64 { return seconds(guest.CallbackBounds()) }

// TurnBounds are the upper bounds, in seconds, of LoopInfo.Turns but for the last, which
// has none.
func TurnBounds() []float64 { return seconds(reactor.TurnBounds()) }

func seconds(list []time.Duration) []float64 {
	out := make([]float64, len(list))
	for n, d := range list {
		out[n] = d.Seconds()
	}
	return out
}

// CallbackStats is a histogram of how long callbacks took, by the meter's clock.
type CallbackStats struct {
	Counts [len(guest.Callbacks{}.Counts)]uint64 `json:"counts"`      // by CallbackBounds
	Sum    float64                               `json:"sum_seconds"` // of those over the first bound
	Slow   uint64                                `json:"slow"`        // over 10 ms
}

func (s *CallbackStats) add(c *guest.Callbacks) {
	bounds := guest.CallbackBounds()
	for n, count := range c.Counts {
		s.Counts[n] += count
		if n > 0 && bounds[n-1] >= 10*time.Millisecond {
			s.Slow += count
		}
	}
	s.Sum += c.Sum.Seconds()
}
