package main

import (
	"encoding/json"
	"fmt"
)

// The room's own state is what was said. Who is in comes back with the members,
// whose state is their name and a half line: each enters the new version's room
// in its own RestoreState, after the room's.

// stateVersion numbers the layout of both.
const stateVersion = 1

func (r *room) StateVersion() int32 { return stateVersion }

// SaveState has what was said last.
func (r *room) SaveState() ([]byte, bool) {
	b, err := json.Marshal(r.history)
	return b, err == nil
}

// RestoreState reads what SaveState wrote.
func (r *room) RestoreState(version int32, state []byte) error {
	if version != stateVersion {
		return fmt.Errorf("found state version %d, wanted %d", version, stateVersion)
	}
	if err := json.Unmarshal(state, &r.history); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	r.history = r.history[max(0, len(r.history)-mostHistory):]
	return nil
}

// SaveState has the half line and the name.
func (m *member) SaveState() ([]byte, bool) { return append(m.AppendState(nil), m.name...), true }

// RestoreState reads what SaveState wrote, and takes the place in the room.
func (m *member) RestoreState(version int32, state []byte) error {
	if version != stateVersion {
		return fmt.Errorf("found state version %d, wanted %d", version, stateVersion)
	}
	name, err := m.LoadState(state)
	if err != nil || len(name) == 0 {
		return err
	}
	if err := validName(string(name)); err != nil {
		return err
	}
	m.name = string(name)
	m.room.members = append(m.room.members, m)
	return nil
}
