package host

import (
	"context"
	"fmt"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/credentials"
	"github.com/wirehost/wirehost/internal/fetch"
)

// sources read what the configuration names: modules, certificates, keys. Any
// goroutine.
type sources struct {
	files   bounded.Reader
	builtin func(string) ([]byte, bool) // the module behind builtin:NAME; nil = there are none
	fetch   *fetch.Fetcher              // made with the loader

	credentials *credentials.Store // it reads by files
}

// listenList reads where a plugin may listen. starting: a certificate that can't be loaded
// is no error.
func (s *sources) listenList(ctx context.Context, cfg config.Allow, starting bool) (*guest.ListenList, error) {
	server, err := s.serverTLS(ctx, cfg.TLS, starting)
	if err != nil {
		return nil, fmt.Errorf("allow.%w", err)
	}
	return guest.NewListenList(cfg.Listen, server, cfg.TLS.HandshakeTimeout)
}

// allowList reads where a plugin's outgoing connections may go.
func (s *sources) allowList(ctx context.Context, cfg config.Allow) (*guest.AllowList, error) {
	if cfg.CA == "" {
		return guest.NewAllowList(cfg.Connect, cfg.Private, nil)
	}
	roots, err := s.credentials.Pool(ctx, cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("allow.ca: %w", err)
	}
	return guest.NewAllowList(cfg.Connect, cfg.Private, roots.Client)
}
