package host

import (
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Guests listen, too: their sockets are instances', and always move to the next version's.

// listenForGuest is what guests listen with; nil where nothing runs.
func (h *Host) listenForGuest() func(*os.File, reactor.Endpoint, reactor.Factory,
	reactor.ListenOptions) (*reactor.Listener, error) {
	if h.reactor == nil {
		return nil
	}
	return h.listenWith
}

// listenWith listens on another process's socket or, where file is nil, binds one.
func (h *Host) listenWith(file *os.File, ep reactor.Endpoint, f reactor.Factory, o reactor.ListenOptions,
) (*reactor.Listener, error) {
	if file == nil {
		return h.reactor.Listen(ep, f, o)
	}
	return h.reactor.ListenFile(file, ep, f, o)
}

// heir says whose listeners the slot's next instance is to have.
func (s *slot) heir() guest.Heir {
	if s.place.Closing() { // they are another process's, and an instance is to know them
		return guest.AnyHeir
	}
	if len(s.succeeds) == 0 && !s.plugin.account.HoldsListeners() {
		return guest.NoHeir
	}
	return s.ver.heir(s.place.Loop.Index())
}

// takeListeners has the slot's instance have those of the slots that it succeeds.
func (s *slot) takeListeners() {
	if len(s.succeeds) == 0 || !s.running() {
		return
	}
	var from []*guest.Instance
	for _, old := range s.succeeds {
		from = slices.AppendSeq(from, old.place.Instances())
	}
	s.inst.TakeListeners(from...)
	s.succeeds = nil
}

// startForListeners starts an instance in place of one that listened and could not go on: no
// connection comes to ask for it. Once in minBackoff: a guest may trap as soon as it listens.
func (s *slot) startForListeners() {
	now := s.place.Loop.Now()
	wait := time.Duration(0)
	if s.listened > 0 {
		wait = max(0, s.listened+minBackoff-now)
	}
	s.listened = max(1, now+wait)
	s.place.Loop.CallLater(wait, func() { s.startAhead(nil) })
}

// moveListeners gives new instances the listeners that are left with a loop's old ones, where
// each connection has an instance.
func (r *replacement) moveListeners(s *slot, old *slot) error {
	if old == nil {
		return nil
	}
	l := s.place.Loop
	var listening []*guest.Instance // now: what listens later keeps what it then has
	if err := onLoop(l, func() {
		for i := range old.place.Instances() {
			if i.Listens() {
				listening = append(listening, i)
			}
		}
	}); err != nil {
		return err
	}
	for _, from := range listening {
		to, err := r.new.newInstance(guest.NoHeir)
		if err != nil {
			r.p.account.Note(hclog.Warn, "listeners are closed: no instance for them to move to", "version", r.new.name,
				"err", err)
			return onLoop(l, old.place.CloseListeners)
		}
		if err := onLoop(l, func() {
			if !from.Listens() { // any more
				to.Close()
				return
			}
			s.adoptInstance(to)
			to.TakeListeners(from)
		}); err != nil {
			to.Close()
			return err
		}
	}
	return nil
}

// gatherListeners takes the listeners of loops where the new version does not run, to be
// brought to the one where it does. What they have accepted goes on where it is.
func (r *replacement) gatherListeners() (list guest.Detached, err error) {
	for _, old := range r.left {
		var sockets []*reactor.Listener
		if err := onLoop(old.place.Loop, func() { sockets = old.place.Listening() }); err != nil {
			return list, err
		}
		for _, ln := range sockets {
			if err := ln.Stop(); err != nil {
				return list, err
			}
		}
		err := r.p.onShare(old.place.Loop, func() { list = append(list, old.place.DetachListeners()...) })
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// bringListeners gives them to the new version.
func (r *replacement) bringListeners(list guest.Detached) error {
	if len(list) == 0 {
		return nil
	}
	return onLoop(r.loops[r.p.pinned], func() {
		if s := r.p.slots[r.p.pinned]; s != nil && s.running() {
			list.Attach(s.inst)
		} else {
			list.Close()
		}
	})
}
