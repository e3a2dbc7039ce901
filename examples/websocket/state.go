package main

import "encoding/json"

// stateVersion numbers the layout of what connections save.
const stateVersion = 1

func (f *factory) StateVersion() int32 { return stateVersion }

// SaveState has which connection belongs to which, the timer, and how far all has come.
func (p *client) SaveState() ([]byte, bool) {
	text, err := json.Marshal(&p.progress)
	return append(p.AppendTimeout(p.AppendState(nil)), text...), err == nil
}

// RestoreState reads what SaveState wrote.
func (p *client) RestoreState(version int32, saved []byte) error {
	rest, err := p.Load(p, &p.factory.pairs, version, stateVersion, saved)
	if err != nil {
		return err
	}
	if rest, err = p.LoadTimeout(rest); err != nil {
		return err
	}
	return json.Unmarshal(rest, &p.progress)
}

// SaveState has which connection belongs to which, and the beginning of a message.
func (p *behind) SaveState() ([]byte, bool) {
	text, err := json.Marshal(&p.returned)
	return append(p.AppendState(nil), text...), err == nil
}

// RestoreState reads what SaveState wrote.
func (p *behind) RestoreState(version int32, saved []byte) error {
	rest, err := p.Load(p, &p.factory.pairs, version, stateVersion, saved)
	if err != nil {
		return err
	}
	return json.Unmarshal(rest, &p.returned)
}
