package operate

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/credentials"
)

// known is how administrators are known on TCP. It is read before the host starts, and
// does not change but for what its files have. Any goroutine.
type known struct {
	reader    bounded.Reader
	store     *credentials.Store // nil = no TLS
	tls       *tls.Config
	certified bool                   // tls asks for certificates
	tokenFile string                 // "" = none
	token     atomic.Pointer[string] // what it has
}

// read reads what cfg names. Where lenient is set, a certificate that can't be read is none:
// handshakes fail until it is there. Without its token there is no start.
func (k *known) read(ctx context.Context, cfg config.Admin, log hclog.Logger, lenient bool) (err error) {
	if !strings.HasPrefix(cfg.Listen, "tcp:") { // a socket's mode lets in
		return nil
	}
	if cfg.TokenFile != "" {
		k.tokenFile = cfg.TokenFile
		if err := k.readToken(ctx); err != nil {
			return err
		}
	}
	if cfg.TLS.Cert == "" {
		return nil
	}
	k.certified = cfg.TLS.ClientCA != ""
	k.store = credentials.New(credentials.Options{Files: &k.reader, Wall: time.Now, Logger: log})
	k.tls, err = k.store.Server(ctx, credentials.Settings{
		Pairs:    []credentials.Pair{{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key}},
		ClientCA: cfg.TLS.ClientCA, Optional: cfg.TokenFile != "",
		ALPN: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	}, lenient)
	if err != nil {
		return fmt.Errorf("admin.tls: %w", err)
	}
	return nil
}

func (k *known) readToken(ctx context.Context) error {
	token, err := credentials.ReadToken(ctx, &k.reader, k.tokenFile)
	if err != nil {
		return fmt.Errorf("admin.token_file: %w", err)
	}
	k.token.Store(&token)
	return nil
}

// asks is admin.Options.Token.
func (k *known) asks() func() string {
	if k.tokenFile == "" {
		return nil
	}
	return func() string { return *k.token.Load() }
}

// isAnybody tells whether whoever reaches the address may ask.
func (k *known) isAnybody() bool { return k.tokenFile == "" && !k.certified }

// files are those to watch, with the sums of what they had.
func (k *known) files() map[string]string {
	files := map[string]string{}
	if k.store != nil {
		files = k.store.Files()
	}
	if k.tokenFile != "" {
		files[k.tokenFile] = "" // what it has when the watch begins, which reload reads
	}
	return files
}

// reload reads a file of files again, with the one that belongs to it.
func (k *known) reload(ctx context.Context, file string) error {
	var err error
	if file == k.tokenFile && file != "" {
		err = k.readToken(ctx)
	}
	if k.store == nil || err != nil {
		return err
	}
	return k.store.Reload(ctx, file)
}
