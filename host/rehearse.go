package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// A rehearsal gives a new version a copy of what a few live connections would
// bring, in an instance whose output goes nowhere, before any of them moves.

// rehearsed is how many connections of a loop are tried.
const rehearsed = 2

// sample is a copy of an instance's state: its factory's, and that of some of
// its connections.
type sample struct {
	version int32
	factory []byte // nil where it was declined
	conns   []connSample
}

type connSample struct {
	handle int32
	stage  stage
	state  []byte
	t      nowhere
}

// nowhere is a connection's Transport in a rehearsal: what may be asked is
// answered as it was when the sample was taken, and nothing goes out.
type nowhere struct {
	reactor.Transport // nil: restoreState reaches nothing else
	state             reactor.State
	stats             reactor.ConnStats
	peer, host, alpn  string
	certificate       []byte
}

func (t *nowhere) State() reactor.State       { return t.state }
func (t *nowhere) Stats() reactor.ConnStats   { return t.stats }
func (t *nowhere) Peer() string               { return t.peer }
func (t *nowhere) Host() string               { return t.host }
func (t *nowhere) PeerCertificate() []byte    { return t.certificate }
func (t *nowhere) NegotiatedProtocol() string { return t.alpn }

// rehearse fails where the new version can't be started, or can't take what the
// old one's connections would bring.
func (r *replacement) rehearse() error {
	if r.out.Policy != config.ReloadMigrate {
		if r.new.cfg.Isolation != config.IsolationConnection {
			return nil // its instances have been started
		}
		i, err := r.new.newInstance()
		if err == nil {
			i.close()
		}
		return err
	}
	var samples []*sample
	for n, l := range r.p.host.reactor.Loops() {
		var list []*sample
		var unfit error
		if err := r.p.onShare(l, func() { list, unfit = r.p.slots[n].samples(r.new) }); err != nil {
			return err
		}
		if unfit != nil {
			return fmt.Errorf("rehearsal: %w", unfit)
		}
		samples = append(samples, list...)
	}
	if len(samples) == 0 {
		samples = []*sample{{}}
	}
	for _, s := range samples {
		if err := s.try(r.new); err != nil {
			return fmt.Errorf("rehearsal: %w", err)
		}
	}
	return nil
}

// samples copies some state, for v. On the slot's loop. What can't be saved is no
// fault of v: it will stay where it is. What can be saved and is alive in a way
// that v has no callbacks for is an error. It ends early where saving takes long.
func (s *slot) samples(v *version) ([]*sample, error) {
	if s == nil {
		return nil, nil
	}
	var list []*sample
	left, k := rehearsed, s.ver.hold()
	for i := range s.all {
		if left == 0 || k.over() {
			break
		}
		if i.dead != nil || i.retiring {
			continue
		}
		one, err := i.sample(left, &k)
		if err != nil {
			continue
		}
		if len(one.conns) > 0 || len(i.conns) == 0 {
			if err := canMove(i, v); err != nil {
				return nil, err
			}
		}
		left -= len(one.conns)
		list = append(list, one)
	}
	return list, nil
}

func (i *instance) sample(most int, k *hold) (*sample, error) {
	version, err := i.stateVersion()
	if err != nil {
		return nil, err
	}
	s := &sample{version: version}
	factory, err := i.saveState(0)
	switch {
	case err == nil:
		s.factory = append([]byte{}, factory...)
	case !errors.Is(err, errDeclined):
		return nil, err
	}
	for _, c := range i.conns {
		if len(s.conns) == most || k.over() {
			break
		}
		state, err := i.saveState(c.handle)
		if err != nil {
			if i.dead != nil {
				return nil, err
			}
			continue
		}
		s.conns = append(s.conns, connSample{c.handle, c.stage, slices.Clone(state), nowhere{
			state: c.t.State(), stats: c.t.Stats(), peer: c.t.Peer(), host: c.t.Host(),
			alpn: c.t.NegotiatedProtocol(), certificate: c.t.PeerCertificate(),
		}})
	}
	return s, nil
}

// try restores the sample in a new instance of v, and ends that.
func (s *sample) try(v *version) error {
	i, err := v.newInstance()
	if err != nil {
		return err
	}
	defer i.close()
	if s.factory != nil {
		if err := i.restoreState(0, s.version, s.factory, nil); err != nil {
			return fmt.Errorf("the factory's state: %w", err)
		}
	}
	for n := range s.conns {
		c := &s.conns[n]
		i.conns[c.handle] = &guestConn{in: i, t: &c.t, handle: c.handle, stage: c.stage}
		if err := i.restoreState(c.handle, s.version, c.state, nil); err != nil {
			return err
		}
	}
	return nil
}
