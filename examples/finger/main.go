// Command finger tells who is who (RFC 1288). The users are those of its
// configuration.
package main

import (
	"fmt"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// user is one that can be asked for.
type user struct {
	Login  string `json:"login"`
	Name   string `json:"name"`
	Office string `json:"office"`
	Plan   string `json:"plan"` // lines
}

// config is the plugin's config section.
type config struct {
	Users   []user `json:"users"`
	Seconds int    `json:"timeout"` // for a client to ask
}

// factory has the users.
type factory struct{ config }

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Seconds: 30}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	if f.Seconds < 1 {
		return fmt.Errorf("config.timeout: found %d, wanted 1 or more seconds", f.Seconds)
	}
	for i, u := range f.Users {
		if u.Login == "" || strings.ContainsAny(u.Login, " \t@/") {
			return fmt.Errorf("config.users.%d.login: found %q, wanted a name without spaces, @ and /", i, u.Login)
		}
		if f.find(u.Login) != &f.Users[i] {
			return fmt.Errorf("config.users.%d.login: found %q, which is there already", i, u.Login)
		}
	}
	return nil
}

// find is the user of a name, or nil. Upper and lower case are the same (RFC
// 1288, section 2.5.3, leaves it open).
func (f *factory) find(login string) *user {
	for i, u := range f.Users {
		if strings.EqualFold(u.Login, login) {
			return &f.Users[i]
		}
	}
	return nil
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol {
	p := &conn{factory: f}
	p.Delimiter, p.MaxLength = []byte("\n"), longestQuery
	return p
}

func (f *factory) LogPrefix() string { return "finger" }

func init() { wirehost.Register(&factory{}) }

func main() {}
