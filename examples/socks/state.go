package main

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/state"
)

// stateVersion numbers the layout of what connections save.
const stateVersion = 2

func (f *factory) StateVersion() int32 { return stateVersion }

// SaveState has the stage, what was received and not passed on, the timer, the listener
// and who may come there, and which connection belongs to which. A client that passes
// datagrams on stays with the old version.
func (p *client) SaveState() ([]byte, bool) {
	if p.stage == associated {
		return nil, false
	}
	b := p.AppendState(nil)
	timer, door := int32(0), int32(0)
	if p.deadline != nil {
		timer = p.deadline.Handle()
	}
	if p.door != nil {
		door = p.door.Handle()
	}
	for _, n := range []int32{int32(p.stage), int32(p.version), timer, door} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return state.AppendBytes(state.AppendBytes(b, p.peer.AsSlice()), p.received), true
}

// RestoreState reads what SaveState wrote.
func (p *client) RestoreState(version int32, saved []byte) error {
	rest, err := p.Load(p, &p.factory.pairs, version, stateVersion, saved)
	if err != nil {
		return err
	}
	r := state.Reader{Rest: rest}
	p.stage, p.version = stage(r.Count(int(binding))), byte(r.Count(5))
	timer, door := r.Count(1<<31-1), r.Count(1<<31-1)
	p.peer, _ = netip.AddrFromSlice(r.Bytes())
	p.received = slices.Clone(r.Bytes())
	switch {
	case r.Err != nil:
		return r.Err
	case len(r.Rest) > 0:
		return state.ErrLong
	}
	if door > 0 {
		p.door = p.Reactor().RestorePort(int32(door), visitors{p})
	}
	if timer > 0 {
		late := p.tooLate
		if p.stage == binding {
			late = p.nobodyCame
		}
		p.deadline = p.Reactor().RestoreCall(int32(timer), late)
	}
	return nil
}

// SaveState has which connection belongs to which.
func (p *target) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

// RestoreState reads what SaveState wrote.
func (p *target) RestoreState(version int32, saved []byte) error {
	_, err := p.Load(p, &p.factory.pairs, version, stateVersion, saved)
	return err
}
