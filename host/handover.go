package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
)

// A host hands its connections over to one in another process of the program: instance
// by instance, each between two callbacks. What the other does not take goes on here.
//
//	this host                      the other
//	BeginHandover                  TakeOver, in its Start: nothing is accepted yet
//	StopAccepting
//	Move: freeze, Offer ────────▶  Adopt
//	      forget or thaw ◀───────  what it refuses; CommitAdopted
//	Finish, or Abandon             End

// Handed is an instance on its way to another process.
type Handed struct {
	Plugin    string           `json:"plugin"`
	Loop      int              `json:"loop"` // where it was
	Isolation config.Isolation `json:"isolation"`
	State     guest.State      `json:"state"`
	// Sockets are those of its connections, in State's order.
	Sockets []*os.File `json:"-"`
}

// Handles are the last handles that a plugin has given.
type Handles struct {
	Connections int32 `json:"connections"`
	Timers      int32 `json:"timers"`
}

// Successor is the process that takes over.
type Successor interface {
	// Offer has it prepare to take instances, and tells why it refuses each, "" where it
	// does not. An error says that it has ended, or does not answer, and will do nothing
	// with them. The sockets are closed by the caller.
	Offer(list []Handed) (refused []string, err error)
	// Commit has it take the instances of the last Offer that it did not refuse. On an
	// error it has not.
	Commit() error
}

// Departure is what becomes of a plugin's connections in a handover.
type Departure struct {
	Plugin string `json:"plugin"`
	Moved  int    `json:"moved"`
	Stay   int    `json:"stay"`
	// Dropped are those whose guest has trapped when its state was asked for.
	Dropped int `json:"dropped,omitempty"`
	// Kept are reasons to stay, with how many connections each has kept.
	Kept map[string]int `json:"kept,omitempty"`
}

func (d *Departure) keep(connections int, why string) {
	d.Stay += connections
	keep(&d.Kept, connections, guest.Clean(why))
}

// Upgraded is what became of an upgrade.
type Upgraded struct {
	DryRun  bool        `json:"dry_run,omitempty"` // nothing was done: it says what would move
	PID     int         `json:"pid,omitempty"`     // of the new process
	Program string      `json:"program,omitempty"` // its version
	Plugins []Departure `json:"plugins"`
	Took    float64     `json:"took_seconds"`
}

// Lines are the outcome for people, one thing a line.
func (u Upgraded) Lines() []string {
	verb, first := "moved", fmt.Sprintf("process %d, version %s, serves now", u.PID, u.Program)
	if u.DryRun {
		verb, first = "would move", "nothing was done"
	}
	lines := []string{first}
	for _, d := range u.Plugins {
		lines = append(lines, fmt.Sprintf("plugin %s: connections that %s: %d; that stay until they end: %d", d.Plugin,
			verb,
			d.Moved, d.Stay))
		if d.Dropped > 0 {
			lines = append(lines, fmt.Sprintf("plugin %s: connections that ended, since the guest trapped in "+
				"saveState: %d",
				d.Plugin, d.Dropped))
		}
		for _, why := range slices.Sorted(maps.Keys(d.Kept)) {
			lines = append(lines, fmt.Sprintf("plugin %s: %d stay: %s", d.Plugin, d.Kept[why], why))
		}
	}
	return lines
}

// Handover is a host that hands over: while there is one, nothing else changes.
type Handover struct {
	h       *Host
	plugins []*plugin
	stopped bool // accepting is
	release func()
}

// BeginHandover begins one. The error is ErrChanging or ErrNotRunning. It ends with Finish
// or Abandon.
func (h *Host) BeginHandover() (*Handover, error) {
	release, err := h.holdChanges()
	if err != nil {
		return nil, err
	}
	return &Handover{h: h, plugins: h.loaded(), release: release}, nil
}

// holdChanges lets no change begin until release is called. The error is ErrChanging or
// ErrNotRunning.
func (h *Host) holdChanges() (release func(), err error) {
	if !h.shape.TryLock() {
		return nil, fmt.Errorf("host: %w", ErrChanging)
	}
	var held []*plugin
	release = func() {
		for _, p := range held {
			p.changing.Unlock()
		}
		h.shape.Unlock()
	}
	if h.reactor == nil || h.ended || h.isStopping() {
		release()
		return nil, ErrNotRunning
	}
	for _, p := range h.loaded() {
		if !p.changing.TryLock() {
			release()
			return nil, fmt.Errorf("plugin %s: %w", p.name, ErrChanging)
		}
		held = append(held, p)
	}
	return release, nil
}

// ListenerFile is a listening socket.
type ListenerFile struct {
	Endpoint string   // as the configuration has it
	File     *os.File // a duplicate, for the caller to close
}

// ListenerFiles are the listening sockets, for another process.
func (o *Handover) ListenerFiles() (list []ListenerFile, err error) {
	for _, l := range o.h.listeners {
		f, err := l.ln.File()
		if err != nil {
			for _, l := range list {
				_ = l.File.Close() // a duplicate
			}
			return nil, fmt.Errorf("listener %s: %w", l.cfg.Endpoint, err)
		}
		list = append(list, ListenerFile{l.cfg.Endpoint, f})
	}
	return list, nil
}

// Drain is the longest time that what stays may take to end.
func (o *Handover) Drain() (longest time.Duration) {
	for _, p := range o.plugins {
		longest = max(longest, p.current().cfg.Drain)
	}
	return longest
}

// Failing are the plugins that do not start here, with the reason.
func (o *Handover) Failing() (map[string]string, error) { return failing(o.plugins) }

// Handles are those of each plugin, for Takeover.
func (o *Handover) Handles() map[string]Handles {
	all := map[string]Handles{}
	for _, p := range o.plugins {
		conns, timers := p.account.Handles()
		all[p.name] = Handles{conns, timers}
	}
	return all
}

// StopAccepting leaves connections that are not accepted yet to the other process. Those
// that were have got their protocol when it returns, unless they wait for something.
func (o *Handover) StopAccepting() error {
	o.stopped = true
	for _, l := range o.h.listeners {
		if err := l.ln.Stop(); err != nil {
			return err
		}
	}
	for _, l := range o.h.reactor.Loops() {
		if err := onLoop(l, func() {}); err != nil {
			return err
		}
	}
	return nil
}

// Move offers the successor what it may take of one kind of isolation: instances of one
// connection each, or all others. Where s is nil, it only tells what would move. An error
// is the successor's, or ctx's: what was not committed then goes on here.
func (o *Handover) Move(ctx context.Context, s Successor, single bool) ([]Departure, error) {
	var list []Departure
	for _, p := range o.plugins {
		if (p.current().cfg.Isolation == config.IsolationConnection) != single {
			continue
		}
		d := Departure{Plugin: p.name}
		err := p.depart(ctx, s, &d)
		list = append(list, d)
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// Finish lets go of the listeners' sockets, which are the other process's, and has what
// is left here drain.
func (o *Handover) Finish() error {
	h := o.h
	defer o.release()
	h.mu.Lock()
	listeners := h.listeners
	h.listeners, h.plugins = nil, map[string]*plugin{}
	h.cfg.Plugins, h.cfg.Listeners = map[string]config.Plugin{}, nil
	h.mu.Unlock()
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.ln.Leave())
	}
	for _, p := range o.plugins {
		p.beginUnload()
		h.mu.Lock()
		h.unloaded = append(h.unloaded, p)
		h.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Abandon has the host go on as if nothing had been asked.
func (o *Handover) Abandon() error {
	defer o.release()
	if !o.stopped {
		return nil
	}
	var errs []error
	for _, l := range o.h.listeners {
		errs = append(errs, l.ln.Start())
	}
	return errors.Join(errs...)
}

// batchSockets is how many connections are on their way at a time, where each has an
// instance.
const batchSockets = 64

// unsettledWait is how long an instance has to become one that can move.
const unsettledWait = 50 * time.Millisecond

// depart moves a plugin's connections.
func (p *plugin) depart(ctx context.Context, s Successor, d *Departure) error {
	v := p.current()
	why := ""
	switch {
	case v.cfg.Reload != config.ReloadMigrate:
		why = "reload: " + string(v.cfg.Reload)
	case !v.guest.Movable():
		why = "the module has no saveState and restoreState"
	}
	for _, slot := range p.allSlots() {
		var err error
		switch {
		case slot.ver != v:
			err = slot.keepAll(d, "of "+slot.ver.name+", which was replaced before")
		case why != "":
			err = slot.keepAll(d, why)
		default:
			err = slot.depart(ctx, s, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepAll counts what stays.
func (s *slot) keepAll(d *Departure, why string) error {
	return onLoop(s.place.Loop, func() { d.keep(s.place.CountConnections(), why) })
}

// depart moves a slot's connections: batch by batch, and what is unsettled again a
// little later.
func (s *slot) depart(ctx context.Context, to Successor, d *Departure) error {
	m := &move{slot: s, to: to, d: d, done: map[*guest.Instance]bool{}}
	for try := 0; ; {
		more, err := m.batch(ctx)
		switch {
		case err != nil:
			return err
		case more:
		case m.unsettled == 0 || try == 2:
			return onLoop(s.place.Loop, m.keepRest)
		default:
			try++
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(unsettledWait):
			}
		}
	}
}

// move is the way of a slot's instances to a successor.
type move struct {
	slot      *slot
	to        Successor // nil = nobody takes them
	d         *Departure
	done      map[*guest.Instance]bool // tried, and settled
	unsettled int                      // instances, in the last batch
	frozen    []*guest.Frozen
	offer     []Handed
}

// batch moves some instances; more says that others may be left.
func (m *move) batch(ctx context.Context) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.frozen, m.offer = nil, nil
	if err := onLoop(m.slot.place.Loop, func() { more = m.freeze() }); err != nil {
		return false, err
	}
	if len(m.frozen) == 0 {
		return more, nil
	}
	refused := make([]string, len(m.offer))
	if m.to != nil {
		refused, err = m.hand()
	}
	for _, u := range m.offer {
		closeFiles(u.Sockets)
	}
	return more, errors.Join(err, onLoop(m.slot.place.Loop, func() { m.settle(refused, err) }))
}

// hand offers what is frozen, and commits what is not refused.
func (m *move) hand() (refused []string, err error) {
	refused, err = m.to.Offer(m.offer)
	if err == nil && slices.Contains(refused, "") {
		err = m.to.Commit()
	}
	return refused, err
}

// freeze freezes instances. On the loop.
func (m *move) freeze() (more bool) {
	s := m.slot
	m.unsettled = 0
	sockets := 0
	for i := range s.place.Instances() {
		if m.done[i] {
			continue
		}
		if sockets >= batchSockets || len(m.frozen) > 0 && s.place.Share.Late() {
			return true
		}
		f, err := i.Freeze()
		var files []*os.File
		if err == nil && m.to != nil {
			if files, err = f.Files(); err != nil {
				f.Thaw()
			}
		}
		switch {
		case errors.Is(err, guest.ErrUnsettled):
			m.unsettled++
			continue
		case err != nil:
			m.done[i] = true
			if i.Dead() != nil {
				m.d.Dropped += i.CountConnections()
			} else {
				m.d.keep(i.CountConnections(), err.Error())
			}
			continue
		}
		m.done[i] = true
		sockets += len(f.State.Connections)
		m.frozen = append(m.frozen, f)
		m.offer = append(m.offer, Handed{s.plugin.name, s.place.Loop.Index(), s.ver.cfg.Isolation, f.State, files})
		if i == s.inst {
			s.waiting = true
		}
	}
	return false
}

// settle does what the successor has decided. On the loop.
func (m *move) settle(refused []string, err error) {
	s := m.slot
	for n, f := range m.frozen {
		conns := len(f.State.Connections)
		switch {
		case err != nil:
			m.d.keep(conns, err.Error())
			f.Thaw()
			continue
		case refused[n] != "":
			m.d.keep(conns+f.Staying(), refused[n])
			f.Thaw()
			continue
		}
		m.d.Moved += conns
		if why := f.Stay(); why != nil {
			m.d.keep(f.Staying(), why.Error())
		}
		if m.to == nil {
			f.Thaw()
			continue
		}
		f.Forget()
	}
	if s.waiting {
		s.waiting = false
		if !s.running() {
			s.inst = nil
		}
		s.releaseWaiters(nil)
	}
}

// keepRest counts the connections of instances that never were settled. On the loop.
func (m *move) keepRest() {
	for i := range m.slot.place.Instances() {
		if !m.done[i] {
			m.d.keep(i.CountConnections(), guest.ErrUnsettled.Error())
		}
	}
}
