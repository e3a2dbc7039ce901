// Command wire has the small protocols of the first days (Twisted's
// twisted.protocols.wire): discard, chargen, QOTD, daytime, time and who. Its
// configuration says which one it is; several plugins may be made of the one
// module.
package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// config is the plugin's config section.
type config struct {
	Protocol string   `json:"protocol"`
	Quote    string   `json:"quote"` // qotd's
	Users    []string `json:"users"` // who's
}

// factory builds the protocol that is configured.
type factory struct {
	config
	build func() wirehost.Protocol
	now   func() time.Time // the wall clock
}

// protocols are what there is to choose from.
func (f *factory) protocols() map[string]func() wirehost.Protocol {
	says := func(text func() string) func() wirehost.Protocol {
		return func() wirehost.Protocol { return &teller{text: text} }
	}
	return map[string]func() wirehost.Protocol{
		"discard": func() wirehost.Protocol { return &discard{} },
		"chargen": func() wirehost.Protocol { return &chargen{} },
		"qotd":    says(f.quote),
		"daytime": says(f.daytime),
		"time":    says(f.time),
		"who":     says(f.users),
	}
}

// StartFactory reads the configuration.
func (f *factory) StartFactory(r *wirehost.Reactor) error {
	f.config = config{Quote: "A protocol is a promise about bytes."}
	if err := r.Config(&f.config); err != nil {
		return err
	}
	all := f.protocols()
	build, ok := all[f.Protocol]
	if !ok {
		return fmt.Errorf("config.protocol: found %q, wanted one of %s", f.Protocol,
			strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	if len(f.Quote) > longestQuote {
		return fmt.Errorf("config.quote: found %d bytes, wanted at most %d (RFC 865)", len(f.Quote), longestQuote)
	}
	f.build = build
	return nil
}

func (f *factory) BuildProtocol(*wirehost.Transport) wirehost.Protocol { return f.build() }

func (f *factory) LogPrefix() string { return "wire" }

var errState = errors.New("found the state of another protocol") // never changed

func init() { wirehost.Register(&factory{now: time.Now}) }

func main() {}
