package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Takeover is a host that takes over from another process: while there is one, nothing
// else changes. It is one goroutine's.
type Takeover struct {
	h        *Host
	prepared map[*slot][]*guest.Instance    // adopted, and not committed
	spare    map[*version][]*guest.Instance // made ahead
	lone     []*socket                      // adopted without an instance, and not committed
	listen   []leftListeners                // likewise
	release  func()
}

// takeOver begins one, in Start. h.shape is held, and the plugins run.
func (h *Host) takeOver() *Takeover {
	plugins := slices.Collect(maps.Values(h.plugins))
	for _, p := range plugins {
		p.changing.Lock() // nobody else knows of it yet
	}
	return &Takeover{h: h, prepared: map[*slot][]*guest.Instance{}, spare: map[*version][]*guest.Instance{},
		release: func() {
			for _, p := range plugins {
				p.changing.Unlock()
			}
		}}
}

// GoOn has handles go on behind those of the other process.
func (t *Takeover) GoOn(handles map[string]Handles) {
	for name, last := range handles {
		if p := t.h.plugins[name]; p != nil {
			p.account.GoOn(last.Connections, last.Timers)
		}
	}
}

// maxSpare is how many instances of a plugin are made ahead: they take memory before they are
// needed.
const maxSpare = 500

// Expect makes instances ahead of Adopt, as many as Handover.Expected says up to maxSpare: so
// nobody waits while they are made.
func (t *Takeover) Expect(instances map[string]int) {
	for name, n := range instances {
		p := t.h.plugins[name]
		if p == nil {
			continue
		}
		v := p.current()
		if v.stays() != "" || v.cfg.Isolation != config.IsolationConnection {
			continue
		}
		for range min(n, maxSpare) {
			i, err := v.newInstance(guest.AnyHeir) // which has nobody's socket: see version.heir
			if err != nil {                        // Adopt meets it again
				break
			}
			t.spare[v] = append(t.spare[v], i)
		}
	}
}

// instance is a new one of a version, for a state.
func (t *Takeover) instance(s *slot, of *guest.State) (*guest.Instance, error) {
	v := s.ver
	var handles []int32 // several may listen at one address
	if v.cfg.Isolation == config.IsolationConnection {
		for n := range of.Listeners {
			handles = append(handles, of.Listeners[n].Handle)
		}
	}
	if spare := t.spare[v]; len(spare) > 0 && len(handles) == 0 {
		i := spare[len(spare)-1]
		t.spare[v] = spare[:len(spare)-1]
		return i, nil
	}
	return v.newInstance(v.heir(s.place.Loop.Index()), handles...)
}

// closeSpare closes what nobody has needed.
func (t *Takeover) closeSpare() {
	for _, all := range t.spare {
		for _, i := range all {
			i.Close()
		}
	}
	clear(t.spare)
}

// Failing are the plugins that do not start here, and the files of certificates and
// authorities that could not be loaded so far, with the reason.
func (t *Takeover) Failing() (map[string]string, error) {
	return t.h.failing(slices.Collect(maps.Values(t.h.plugins)))
}

// failing is Takeover.Failing of some plugins. Not on a loop.
func (h *Host) failing(plugins []*plugin) (map[string]string, error) {
	why := map[string]string{}
	for file, err := range h.sources.credentials.Failing() {
		why["file "+file] = fmt.Sprintf("TLS: %v", err)
	}
	for _, p := range plugins {
		if p.failing.Load() == 0 {
			continue
		}
		for _, s := range p.allSlots() {
			err := onLoop(s.place.Loop, func() {
				if s.err != nil {
					why[p.name] = guest.Clean(s.err.Error())
				}
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return why, nil
}

// Adopt prepares to take instances, and tells why it does not take each; "" = it does.
func (t *Takeover) Adopt(list []Handed) (refused []string) {
	refused = make([]string, len(list))
	ready := map[*slot][]adoption{}
	for n := range list {
		if lone := list[n].Lone; lone != nil {
			if err := t.adoptLone(lone); err != nil {
				refused[n] = err.Error()
			}
			continue
		}
		if list[n].Alone {
			if err := t.adoptListeners(&list[n]); err != nil {
				refused[n] = err.Error()
			}
			continue
		}
		a := adoption{state: &list[n].State, refused: &refused[n], group: list[n].Group}
		s, err := t.prepare(&list[n], &a)
		if err != nil {
			refused[n] = err.Error()
			continue
		}
		ready[s] = append(ready[s], a)
	}
	for s, all := range ready {
		t.adopt(s, all)
	}
	t.wholeGroups(list, refused, ready)
	return refused
}

// adoption is an instance that is being adopted.
type adoption struct {
	inst    *guest.Instance
	state   *guest.State
	sockets []*os.File
	refused *string // why it is; "" = it is not
	group   int     // Handed.Group
}

// prepare gets what an instance needs, and says where it goes. It is not on a loop: that takes
// most of the time.
func (t *Takeover) prepare(one *Handed, a *adoption) (*slot, error) {
	s, err := t.slot(one)
	if err != nil {
		return nil, err
	}
	if want := one.State.Files(); one.Given != want {
		return nil, fmt.Errorf("found %d sockets, wanted %d", one.Given, want)
	}
	if a.inst, err = t.instance(s, &one.State); err != nil {
		return nil, err
	}
	if a.sockets, err = one.Sockets(0, one.Given); err != nil {
		closeFiles(a.sockets)
		a.inst.Close()
		return nil, err
	}
	return s, nil
}

// adopt adopts instances into a slot: as many in a turn of its loop as the plugin's share lasts
// for.
func (t *Takeover) adopt(s *slot, all []adoption) {
	for len(all) > 0 {
		done := 0
		err := onLoop(s.place.Loop, func() {
			for done < len(all) && (done == 0 || !s.place.Share.Late()) {
				a := &all[done]
				done++
				if err := a.inst.Adopt(*a.state, a.sockets, s.place, t.listener, t.configured(s)); err != nil {
					*a.refused = err.Error()
				}
			}
		})
		if err != nil { // the loop has ended
			done = len(all)
		}
		for _, a := range all[:done] {
			closeFiles(a.sockets)
			if err != nil {
				*a.refused = err.Error()
			}
			if *a.refused == "" {
				t.prepared[s] = append(t.prepared[s], a.inst)
			} else {
				a.inst.Close()
			}
		}
		all = all[done:]
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a duplicate
	}
}

// slot is where an instance goes: to the loop that it came from, where there is one.
func (t *Takeover) slot(one *Handed) (*slot, error) {
	p := t.h.plugins[one.Plugin]
	if p == nil {
		return nil, fmt.Errorf("plugin %s: %w", one.Plugin, ErrUnknown)
	}
	v := p.current()
	switch {
	case v.cfg.Reload != config.ReloadMigrate:
		return nil, fmt.Errorf("reload: %s, in the new process", v.cfg.Reload)
	case !v.guest.Movable():
		return nil, errors.New("the new process's module has no saveState and restoreState")
	case v.cfg.Isolation != one.Isolation:
		return nil, fmt.Errorf("isolation: %s, and %s in the new process", one.Isolation, v.cfg.Isolation)
	}
	n := one.Loop % len(p.loops)
	if v.cfg.Isolation == config.IsolationShared {
		n = p.pinned
	}
	if s := p.slots[n]; s != nil {
		return s, nil
	}
	return nil, errNotHere
}

// listener is the one that a connection counts to.
func (t *Takeover) listener(endpoint string) *reactor.Listener {
	if name, inside := strings.CutPrefix(endpoint, "plugin://"); inside {
		if p := t.h.plugins[name]; p != nil {
			return p.inside
		}
		return nil
	}
	if place, outer, inChain := strings.Cut(endpoint, behind); inChain {
		ln := t.listener(outer)
		for n, _ := strconv.Atoi(place); n > 0 && ln != nil; n-- {
			ln = ln.Next()
		}
		return ln
	}
	for _, l := range t.h.listeners {
		if l.ln.Endpoint().String() == endpoint {
			return l.ln
		}
	}
	return nil
}

// Commit has what was adopted go on here.
func (t *Takeover) Commit() error {
	err := t.each(func(s *slot, i *guest.Instance) { s.commitAdopted(i) })
	return errors.Join(err, t.eachLone((*socket).begin), t.commitListeners())
}

// each does something with all that was adopted, on its loop: then it is not in t any more.
func (t *Takeover) each(do func(*slot, *guest.Instance)) error {
	var errs []error
	for s, all := range t.prepared {
		errs = append(errs, onLoop(s.place.Loop, func() {
			for _, i := range all {
				do(s, i)
			}
		}))
	}
	clear(t.prepared)
	return errors.Join(errs...)
}

// commitAdopted makes an adopted instance one of the slot's: the one for new connections
// where the slot's own has none yet. On the loop.
func (s *slot) commitAdopted(i *guest.Instance) {
	i.CommitAdopted(s.place)
	if s.ver.cfg.Isolation == config.IsolationConnection {
		s.noteStart()
		return
	}
	own := s.inst
	if s.running() && own.CountConnections() > 0 {
		i.EndWhenEmpty()
		return
	}
	s.inst = i
	s.noteStart()
	if own != nil {
		i.TakeListeners(own) // of an address that is new
		own.EndWhenEmpty()
	}
}

// Drop lets go of what was adopted and not committed.
func (t *Takeover) Drop() error {
	err := t.each(func(s *slot, i *guest.Instance) {
		i.DropAdopted(s.place)
		i.Close()
	})
	for _, one := range t.listen {
		one.list.Return()
	}
	t.listen = nil
	return errors.Join(err, t.eachLone(func(k *socket) {
		k.guest.Forget()
		k.Dropped()
	}))
}

// End ends the takeover: the other process has let go of the listeners. Their sockets'
// files are this one's from now on, but those that stay says are somebody else's, such as
// a service manager's; nil = none.
func (t *Takeover) End(stay func(endpoint string) bool) {
	for _, l := range t.h.listeners {
		if stay != nil && stay(l.cfg.Endpoint) {
			continue
		}
		if err := l.ln.Own(); err != nil {
			t.h.log.Warn("taking over a socket's file", "endpoint", l.cfg.Endpoint, "err", err)
		}
	}
	t.takeGiven()
	t.closeSpare()
	if err := releaseListeners(maps.Values(t.h.plugins)); err != nil {
		t.h.log.Error("taking over guests' listeners", "err", err)
	}
	t.release()
}
