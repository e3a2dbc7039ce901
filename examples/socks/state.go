package main

import (
	"encoding/binary"
	"slices"

	"github.com/wirehost/wirehost/examples/internal/state"
)

// stateVersion numbers the layout of what connections save.
const stateVersion = 1

func (f *factory) StateVersion() int32 { return stateVersion }

// SaveState has the stage, what was received and not passed on, the timer, and
// which connection belongs to which.
func (p *client) SaveState() ([]byte, bool) {
	b := p.AppendState(nil)
	timer := int32(0)
	if p.deadline != nil {
		timer = p.deadline.Handle()
	}
	for _, n := range []int{int(p.stage), int(p.version), int(timer)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return state.AppendBytes(b, p.received), true
}

// RestoreState reads what SaveState wrote.
func (p *client) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	rest, err := p.LoadState(p, &p.factory.pairs, saved)
	if err != nil {
		return err
	}
	r := state.Reader{Rest: rest}
	p.stage, p.version = stage(r.Count(int(joined))), byte(r.Count(5))
	timer := r.Count(1<<31 - 1)
	p.received = slices.Clone(r.Bytes())
	switch {
	case r.Err != nil:
		return r.Err
	case len(r.Rest) > 0:
		return state.ErrLong
	}
	if timer > 0 {
		p.deadline = p.Reactor().RestoreCall(int32(timer), p.tooLate)
	}
	return nil
}

// SaveState has which connection belongs to which.
func (p *target) SaveState() ([]byte, bool) { return p.AppendState(nil), true }

// RestoreState reads what SaveState wrote.
func (p *target) RestoreState(version int32, saved []byte) error {
	if err := state.Version(version, stateVersion); err != nil {
		return err
	}
	_, err := p.LoadState(p, &p.factory.pairs, saved)
	return err
}
