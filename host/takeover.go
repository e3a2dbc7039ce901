package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Takeover is a host that takes over from another process: while there is one, nothing
// else changes. It is one goroutine's.
type Takeover struct {
	h        *Host
	prepared []prepared
	release  func()
}

// prepared is an instance that was adopted, and not committed.
type prepared struct {
	slot *slot
	inst *guest.Instance
}

// takeOver begins one, in Start. h.shape is held, and the plugins run.
func (h *Host) takeOver() *Takeover {
	plugins := slices.Collect(maps.Values(h.plugins))
	for _, p := range plugins {
		p.changing.Lock() // nobody else knows of it yet
	}
	return &Takeover{h: h, release: func() {
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

// Failing are the plugins that do not start here, with the reason.
func (t *Takeover) Failing() (map[string]string, error) {
	return failing(slices.Collect(maps.Values(t.h.plugins)))
}

// failing are those of some plugins that do not start, with the reason. Not on a loop.
func failing(plugins []*plugin) (map[string]string, error) {
	why := map[string]string{}
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
// It closes their sockets.
func (t *Takeover) Adopt(list []Handed) (refused []string) {
	for _, one := range list {
		text := ""
		if err := t.adopt(one); err != nil {
			text = err.Error()
		}
		refused = append(refused, text)
	}
	return refused
}

func (t *Takeover) adopt(one Handed) error {
	defer closeFiles(one.Sockets)
	s, err := t.slot(one)
	if err != nil {
		return err
	}
	i, err := s.ver.newInstance()
	if err != nil {
		return err
	}
	endErr := onLoop(s.place.Loop, func() {
		err = i.Adopt(one.State, one.Sockets, s.place, t.listener)
	})
	if err = errors.Join(err, endErr); err != nil {
		i.Close()
		return err
	}
	t.prepared = append(t.prepared, prepared{s, i})
	return nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a duplicate
	}
}

// slot is where an instance goes: to the loop that it came from, where there is one.
func (t *Takeover) slot(one Handed) (*slot, error) {
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
	for _, l := range t.h.listeners {
		if l.ln.Endpoint().String() == endpoint {
			return l.ln
		}
	}
	return nil
}

// Commit has what was adopted go on here.
func (t *Takeover) Commit() error {
	var errs []error
	for _, one := range t.prepared {
		errs = append(errs, onLoop(one.slot.place.Loop, func() { one.slot.commitAdopted(one.inst) }))
	}
	t.prepared = nil
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
		own.EndWhenEmpty()
	}
}

// Drop lets go of what was adopted and not committed.
func (t *Takeover) Drop() error {
	var errs []error
	for _, one := range t.prepared {
		errs = append(errs, onLoop(one.slot.place.Loop, func() {
			one.inst.DropAdopted(one.slot.place)
			one.inst.Close()
		}))
	}
	t.prepared = nil
	return errors.Join(errs...)
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
	t.release()
}
