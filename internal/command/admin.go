package command

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/internal/watch"
)

// operated is a host that runs, as operators see it: changes by whatever trigger
// go through it, and the files that are watched follow them. Its methods may be
// called from any goroutine.
type operated struct {
	*host.Host
	app     *app
	log     hclog.Logger
	metrics *admin.Metrics
	ending  atomic.Bool

	ctx    context.Context // of changes by watched files
	cancel context.CancelFunc

	listener  net.Listener // nil = no administration
	without   error        // why there is none, where that is no error of the start
	authority string
	server    *admin.Server
	served    sync.WaitGroup

	mu      sync.Mutex
	watcher *watch.Watcher // nil = files can't be watched, or it has ended
}

// adminClose is how long a request may take to finish when everything else has
// ended.
const adminClose = time.Second

// operate prepares the administration of a host that does not run yet: where it
// can't be listened for, it is better not to start at all. Of the default
// endpoint that is only a warning.
func (a *app) operate(h *host.Host, log hclog.Logger, listen string) (*operated, error) {
	o := &operated{Host: h, app: a, log: log, metrics: admin.NewMetrics()}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	if listen == admin.Off {
		return o, nil
	}
	isDefault := listen == ""
	if isDefault {
		listen = admin.DefaultEndpoint(a.getenv)
	}
	var err error
	o.listener, o.authority, err = admin.Listen(listen, isDefault)
	if err != nil && isDefault {
		o.without = err
		return o, nil
	}
	return o, err
}

// begin serves administrators and watches files. The host runs.
func (o *operated) begin() {
	w, err := watch.New(watch.Options{Changed: o.changed, Logger: o.log.Named("watch")})
	if err != nil {
		o.log.Warn("changes of plugins' files are not noticed", "err", err)
	}
	o.mu.Lock()
	o.watcher = w
	o.mu.Unlock()
	o.rewatch()
	if o.without != nil {
		o.log.Warn("no administration", "err", o.without)
	}
	if o.listener == nil {
		return
	}
	o.server = admin.New(admin.Options{Host: o, Logger: o.log.Named("admin"), Metrics: o.metrics, Authority: o.authority})
	endpoint := o.authority
	if endpoint == "" {
		endpoint = o.listener.Addr().String()
	}
	o.log.Info("administration", "endpoint", o.listener.Addr().Network()+"://"+endpoint)
	o.served.Go(func() {
		if err := o.server.Serve(o.listener); err != nil {
			o.log.Error("the administration has ended", "err", err)
		}
	})
}

// end lets no more changes begin. Administrators can still ask.
func (o *operated) end() {
	o.ending.Store(true)
	o.cancel()
	o.mu.Lock()
	w := o.watcher
	o.watcher = nil
	o.mu.Unlock()
	if w == nil {
		return
	}
	if err := w.Close(); err != nil {
		o.log.Warn("watching files", "err", err)
	}
}

// close ends the administration.
func (o *operated) close() {
	o.end()
	if o.server == nil {
		if o.listener != nil {
			o.closed(o.listener.Close())
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminClose)
	defer cancel()
	o.closed(o.server.Close(ctx))
	o.served.Wait()
}

func (o *operated) closed(err error) {
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		o.log.Warn("closing the administration", "err", err)
	}
}

// Ready is the host's, until it is ending.
func (o *operated) Ready() bool { return !o.ending.Load() && o.Host.Ready() }

// rewatch watches the files of the plugins that run and want that.
func (o *operated) rewatch() {
	files := map[string]watch.File{}
	for name, p := range o.Config().Plugins {
		if !p.Watch || strings.HasPrefix(p.Module, "builtin:") {
			continue
		}
		f := watch.File{Path: p.Module}
		if info, err := o.Plugin(name); err == nil && len(info.Versions) > 0 { // without, what is there now is taken for it
			f.SHA256 = info.Versions[0].SHA256 // the active one's
		}
		files[name] = f
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watcher == nil {
		return
	}
	if err := o.watcher.Set(files); err != nil {
		lines.Log(o.log, "changes of some plugins' files are not noticed", err)
	}
}

// changed goes over to a plugin's file that has changed. false: later again.
func (o *operated) changed(name string) (done bool) {
	out, err := o.ReloadPlugin(o.ctx, name, false)
	if errors.Is(err, host.ErrChanging) {
		return false
	}
	o.metrics.Changed("file", name, out, err)
	switch {
	case err == nil, o.ctx.Err() != nil, errors.Is(err, host.ErrUnknown), errors.Is(err, host.ErrNotRunning): // the host has logged what it did
	default:
		lines.Log(o.log.With("plugin", name), "the changed module is refused; what ran before runs on", err)
	}
	return true
}

// LoadPlugin is the host's.
func (o *operated) LoadPlugin(ctx context.Context, name string, cfg config.Plugin, listeners ...config.Listener) (host.Change, error) {
	change, err := o.Host.LoadPlugin(ctx, name, cfg, listeners...)
	o.rewatch()
	return change, err
}

// UnloadPlugin is the host's.
func (o *operated) UnloadPlugin(ctx context.Context, name string) (host.Change, error) {
	change, err := o.Host.UnloadPlugin(ctx, name)
	o.rewatch()
	return change, err
}

// ReloadConfig reads the configuration again and has the host take it.
func (o *operated) ReloadConfig(ctx context.Context) (host.Change, error) {
	cfg, err := o.app.load(ctx)
	if err != nil {
		return host.Change{}, err
	}
	change, err := o.Reload(ctx, cfg)
	if err != nil {
		return change, err
	}
	o.log.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	o.log.Debug("reloaded", "log_level", cfg.Log.Level) // the host has logged what changed
	o.rewatch()
	return change, nil
}
