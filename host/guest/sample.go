package guest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/reactor"
)

// Sample is a copy of an instance's state: its factory's, and that of some of its
// connections. It shows whether another guest can take that, before any connection
// moves. The empty one is of an instance that has nothing.
type Sample struct {
	version int32
	factory []byte // nil where it was declined
	conns   []connSample
	sockets []socketSample
}

type connSample struct {
	handle int32
	stage  stage
	state  []byte
	t      nowhere
}

// nowhere is the Transport of a connection that is restored from a sample: what may be asked is
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

// Samples copies the state of so many of a place's connections, for another guest. What
// can't be saved is no fault of the other's: it will stay where it is. What can be saved
// and is alive in a way that the other has no callbacks for is an error. It ends early
// where saving takes long. On the loop of the place.
func (p *Place) Samples(connections int, to *Guest) ([]*Sample, error) {
	var list []*Sample
	left, k := connections, p.Guest.hold()
	for i := range p.all {
		if left == 0 || k.over() {
			break
		}
		if !i.Usable() {
			continue
		}
		one, err := sampleOf(i, left, &k)
		if err != nil {
			continue
		}
		if len(one.conns) > 0 || len(one.sockets) > 0 || i.conns.len() == 0 {
			if err := to.canTake(i); err != nil {
				return nil, err
			}
		}
		left -= len(one.conns)
		list = append(list, one)
	}
	return list, nil
}

func sampleOf(i *Instance, most int, k *hold) (*Sample, error) {
	version, err := i.stateVersion()
	if err != nil {
		return nil, err
	}
	s := &Sample{version: version}
	factory, err := i.saveState(0)
	switch {
	case err == nil:
		s.factory = append([]byte{}, factory...)
	case !errors.Is(err, errDeclined):
		return nil, err
	}
	for c := range i.conns.all() {
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
	return s, s.addSockets(i, most, k)
}

// Restore gives a started instance that has nothing what was sampled. Its output goes
// nowhere. The instance is of no other use, and is to be closed. Any goroutine that has
// it.
func (s *Sample) Restore(i *Instance) error {
	if s.factory != nil {
		if err := i.restoreState(0, s.version, s.factory, nil); err != nil {
			return fmt.Errorf("the factory's state: %w", err)
		}
	}
	for n := range s.conns {
		c := &s.conns[n]
		i.conns.add(&conn{in: i, t: &c.t, handle: c.handle, stage: c.stage})
		if err := i.restoreState(c.handle, s.version, c.state, nil); err != nil {
			return err
		}
	}
	return s.restoreSockets(i)
}
