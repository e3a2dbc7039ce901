package bounded

import (
	"fmt"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Config is the config section of a plugin that stores what its peers send, in
// bytes.
type Config struct {
	MaxMemory  int `json:"max_memory"`  // of all keys and values, with what keeping them takes
	MaxPending int `json:"max_pending"` // of all that has not arrived whole
}

// Read reads the section. What it does not name is 16 MiB and 8 MiB.
func (c *Config) Read(r *wirehost.Reactor) error {
	*c = Config{MaxMemory: 16 << 20, MaxPending: 8 << 20}
	if err := r.Config(c); err != nil {
		return err
	}
	if c.MaxMemory < 1 || c.MaxPending < 1 {
		return fmt.Errorf("config: found max_memory %d and max_pending %d, wanted 1 or more", c.MaxMemory, c.MaxPending)
	}
	return nil
}
