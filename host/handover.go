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
	"github.com/wirehost/wirehost/reactor"
)

// A host hands its connections over to one in another process of the program: instance
// by instance, each between two callbacks. What the other does not take goes on here.
//
//	this host                      the other
//	BeginHandover                  TakeOver, in its Start: nothing is accepted yet
//	StopAccepting
//	Move: freeze, Offer ────────▶  Adopt: what it refuses is thawed here
//	      Commit ───────────────▶
//	      forget ◀──────────────   it has them; Commit has them go on
//	Finish, or Abandon             End

// Handed is an instance on its way to another process.
type Handed struct {
	Plugin    string           `json:"plugin"`
	Loop      int              `json:"loop"` // where it was
	Isolation config.Isolation `json:"isolation"`
	State     guest.State      `json:"state"`
	// Lone, where it is set, is a configured socket for datagrams, and there is no instance.
	Lone *LoneSocket `json:"lone,omitempty"`
	// Alone says that there is no instance, and State has nothing but its listeners.
	Alone bool `json:"alone,omitempty"`
	// Group is the number of those that go together, or not at all; 0 = it goes by itself.
	Group int `json:"group,omitempty"`
	// Given is how many of its sockets came with it: fewer than State.Files where not all could be
	// sent.
	Given int `json:"given"`
	// Sockets gives duplicates of State.Files from one number to another, once. They are the
	// caller's to close, on an error too. On no loop.
	Sockets func(from, to int) ([]*os.File, error) `json:"-"`
}

// GuestListener is a listener of a guest's, as another process is to know it.
type GuestListener = guest.ListenerState

// Handles are the last handles that a plugin has given.
type Handles struct {
	Connections int32 `json:"connections"`
	Timers      int32 `json:"timers"`
}

// Successor is the process that takes over. Its methods are called by one goroutine.
type Successor interface {
	// Offer has it prepare to take instances, and tells why it refuses each, "" where it does
	// not. An error says that it can't be asked.
	Offer(list []Handed) (refused []string, err error)
	// Commit has it take all that it was offered and has not refused; with accept, new
	// connections are its own from then on. taken says that they are, whatever the error: they
	// may have gone on there. Where it says no, it never takes them.
	Commit(accept bool) (taken bool, err error)
	// Withdraw returns when it takes nothing more.
	Withdraw()
}

// Departure is what becomes of a plugin's connections in a handover.
type Departure struct {
	Plugin string `json:"plugin"`
	Moved  int    `json:"moved"`
	Stay   int    `json:"stay"`
	// Sockets are those for datagrams that have moved; configured ones always do.
	Sockets int `json:"sockets,omitempty"`
	// Listeners are those of guests that have moved; all do, but for what Closed tells: their
	// endpoints, and why.
	Listeners int      `json:"listeners,omitempty"`
	Closed    []string `json:"closed,omitempty"`
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
	// Refusals are why the new process would refuse, where nothing was done.
	Refusals []string `json:"refusals,omitempty"`
}

// Lines are the outcome for people, one thing a line.
func (u Upgraded) Lines() []string {
	verb, first := "moved", fmt.Sprintf("process %d, version %s, serves now", u.PID, u.Program)
	if u.DryRun {
		verb, first = "would move", "nothing was done"
	}
	lines := []string{first}
	for _, why := range u.Refusals {
		lines = append(lines, "the new process would refuse: "+why)
	}
	for _, d := range u.Plugins {
		of := "plugin " + d.Plugin + ": "
		lines = append(lines,
			fmt.Sprintf("%sconnections that %s: %d; that stay until they end: %d", of, verb, d.Moved, d.Stay))
		if d.Sockets > 0 {
			lines = append(lines, fmt.Sprintf("%sdatagram sockets that %s: %d", of, verb, d.Sockets))
		}
		if d.Listeners > 0 {
			lines = append(lines, fmt.Sprintf("%slisteners of its guests that %s: %d", of, verb, d.Listeners))
		}
		for _, why := range d.Closed {
			lines = append(lines, of+"a listener of its guests ends: "+why)
		}
		if d.Dropped > 0 {
			lines = append(lines,
				fmt.Sprintf("%sconnections that ended, since the guest trapped in saveState: %d", of, d.Dropped))
		}
		for _, why := range slices.Sorted(maps.Keys(d.Kept)) {
			lines = append(lines, fmt.Sprintf("%s%d stay: %s", of, d.Kept[why], why))
		}
	}
	return lines
}

// Handover is a host that hands over: while there is one, nothing else changes.
type Handover struct {
	h        *Host
	plugins  []*plugin
	stopped  bool     // accepting is
	unwanted []string // endpoints
	held     bool     // guests' listeners are
	left     []leftListeners
	refused  []refusedListener               // guests' that the other process can't have
	numbers  map[*reactor.DatagramSocket]int // of the configured ports' sockets
	release  func()
}

// BeginHandover begins one. The error is ErrChanging or ErrNotRunning. It ends with Finish or
// Abandon.
func (h *Host) BeginHandover() (*Handover, error) {
	release, err := h.holdChanges()
	if err != nil {
		return nil, err
	}
	return &Handover{h: h, plugins: h.loaded(), numbers: map[*reactor.DatagramSocket]int{}, release: release}, nil
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
	if h.reactor == nil || h.ended || h.handed || h.isStopping() {
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

// ListenerFiles are the listening sockets, for another process. On an error they are some, to
// be closed all the same.
func (o *Handover) ListenerFiles() (list []ListenerFile, err error) {
	for _, l := range o.h.listeners {
		f, err := l.ln.File()
		if err != nil {
			return list, fmt.Errorf("listener %s: %w", l.cfg.Endpoint, err)
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

// Connections counts those of the host.
func (o *Handover) Connections() int { return o.h.reactor.Connections() }

// Failing is as Takeover's.
func (o *Handover) Failing() (map[string]string, error) { return o.h.failing(o.plugins) }

// Handles are those of each plugin, for Takeover and Options.InheritedGuests.
func (o *Handover) Handles() map[string]Handles {
	all := map[string]Handles{}
	for _, p := range o.plugins {
		conns, timers := p.account.Handles()
		all[p.name] = Handles{conns, timers}
	}
	return all
}

// Expected counts the instances that may move and have one connection each, by plugin, for
// Takeover.
func (o *Handover) Expected() (map[string]int, error) {
	all := map[string]int{}
	for _, p := range o.plugins {
		if v := p.current(); v.cfg.Isolation != config.IsolationConnection || v.stays() != "" {
			continue
		}
		for _, s := range p.allSlots() {
			if err := onLoop(s.place.Loop, func() { all[p.name] += s.place.Len() }); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// StopAccepting leaves connections that are not accepted yet to the other process. Those
// that were have got their protocol when it returns, unless they wait for something. Of the
// endpoints that the other does not want, sockets for datagrams lose their instances.
func (o *Handover) StopAccepting(unwanted []string) error {
	o.stopped, o.unwanted = true, unwanted
	for _, l := range o.h.listeners {
		if err := l.ln.Stop(); err != nil {
			return err
		}
	}
	if err := o.holdListeners(); err != nil {
		return err
	}
	return o.stopServing(unwanted)
}

// Move offers the successor what it may take: instances of several connections first, then
// those of one each. All is committed at once, or where that takes longer than longestFrozen,
// what has come until then. New connections are the successor's from the first commit on that
// has the last instance of the first kind: these are to have their state before they see
// anybody new. Where s is nil, Move only tells what would move. On an error, which is the
// successor's or ctx's, what was not committed goes on here.
func (o *Handover) Move(ctx context.Context, s Successor) ([]Departure, error) {
	var list []*Departure
	c := &crossing{ctx: ctx, h: o.h, to: s, moving: map[*guest.Socket]bool{}, numbers: o.numbers,
		listens: map[listenerKey]bool{}, done: map[*guest.Instance]bool{}}
	err := o.holdListeners()
	if err == nil {
		err = c.linked(o.plugins, &list)
	}
	if err == nil {
		err = c.plugins(o.plugins, false, &list)
	}
	c.accepts = true
	if err == nil {
		err = c.plugins(o.plugins, true, &list)
	}
	if s != nil && err == nil {
		err = c.commit()
	}
	if err == nil {
		err = c.lone(o.unwanted, &list)
	}
	if err == nil {
		err = c.loneListeners(o.plugins, &list)
	}
	o.left, o.refused = append(o.left, c.left...), append(o.refused, c.refused...)
	if s != nil && err != nil {
		s.Withdraw()
		err = errors.Join(err, c.settle(err))
	}
	var all []Departure
	for _, d := range list {
		all = append(all, *d)
	}
	return all, err
}

// Finish lets go of the listeners' sockets, which are the other process's, but for those of
// unwanted endpoints, whose Unix sockets' files are removed; and has what is left here drain:
// see plugin.beginLeaving. Nothing else changes here from then on: the error is ErrNotRunning.
func (o *Handover) Finish() error {
	h := o.h
	defer o.release()
	h.handed = true
	errs := []error{o.leaveSockets(), o.leaveListeners(), o.closeRefused()}
	h.mu.Lock()
	listeners, ports := h.listeners, h.ports
	h.listeners, h.ports = nil, nil
	h.cfg.Plugins, h.cfg.Listeners = map[string]config.Plugin{}, nil
	h.mu.Unlock()
	for _, l := range listeners {
		if slices.Contains(o.unwanted, l.cfg.Endpoint) {
			errs = append(errs, l.ln.Close())
		} else {
			errs = append(errs, l.ln.Leave())
		}
	}
	for _, t := range ports {
		t.on.Close(reactor.Done) // those that have moved are frozen
	}
	for _, p := range o.plugins {
		p.beginLeaving()
		p.account.ReleaseListeners() // what its guests have listened on since the others moved is theirs
	}
	return errors.Join(errs...)
}

// Abandon has the host go on as if nothing had been asked.
func (o *Handover) Abandon() error {
	defer o.release()
	errs := []error{o.listenAgain()}
	if !o.stopped {
		return errors.Join(errs...)
	}
	for _, l := range o.h.listeners {
		errs = append(errs, l.ln.Start())
	}
	return errors.Join(append(errs, o.serveAgain())...)
}
