package host

import (
	"slices"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// destination is the plugin as it gets connections of others, as its isolation is now.
func (p *plugin) destination() reactor.Destination {
	return reactor.Destination{Factory: p, Loop: p.loop(), Share: p.share}
}

// handTo finds the plugins that a guest may give connections to; nil where there is none.
func (h *Host) handTo(allowed []string) func(string) (reactor.Destination, error) {
	if len(allowed) == 0 {
		return nil
	}
	return func(name string) (reactor.Destination, error) {
		if !slices.Contains(allowed, name) {
			return reactor.Destination{}, guest.ErrNotAllowed
		}
		p, err := h.plugin(name)
		if err != nil || p.failing.Load() > 0 || !p.current().guest.ReceivesConnections() {
			return reactor.Destination{}, guest.ErrNotRunning
		}
		return p.destination(), nil
	}
}
