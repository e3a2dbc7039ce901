package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrChanging says that another change of the plugin runs.
	ErrChanging = errors.New("another change is under way")
	// ErrUnknown says that there is no such plugin, or version.
	ErrUnknown = errors.New("not loaded")
	// ErrNoConnection says that there is no such connection.
	ErrNoConnection = errors.New("no such connection")
	// ErrLoaded says that there is such a plugin already.
	ErrLoaded = errors.New("loaded already")
	// ErrProfiling says that a profile of the plugin runs already.
	ErrProfiling = errors.New("a profile of it runs already")
	// ErrNotRunning says that the host has not started, or is shutting down.
	ErrNotRunning = errors.New("host: not running")
)

// ReloadPlugin reads a plugin's module again and goes over to it where it has
// changed, or force is set. On an error the version that was active stays so; it is
// a *LoadError, says how the new version failed, or is ErrUnknown, ErrChanging or
// ErrNotRunning. ctx ends it, as Shutdown does.
func (h *Host) ReloadPlugin(ctx context.Context, name string, force bool) (Outcome, error) {
	p, err := h.plugin(name)
	if err != nil {
		return Outcome{}, err
	}
	return p.reload(ctx, force)
}

// UsePlugin goes back to a version NAME@HASH that is still loaded, as PluginInfo.Versions
// has it. A version that is not is ErrUnknown; all else is as with ReloadPlugin.
func (h *Host) UsePlugin(ctx context.Context, version string) (Outcome, error) {
	name, _, _ := strings.Cut(version, "@")
	p, err := h.plugin(name)
	if err != nil {
		return Outcome{}, err
	}
	return p.goBack(ctx, version)
}

// Renew ends those of a plugin's instances that have no connections, and starts
// new ones, which have seen nothing. It returns when they have started, or failed to.
// The error is ErrUnknown or ErrNotRunning.
func (h *Host) Renew(name string) error {
	p, err := h.plugin(name)
	if err != nil {
		return err
	}
	for n, l := range h.reactor.Loops() {
		started := make(chan struct{})
		err := onLoop(l, func() {
			s := p.slots[n]
			if s == nil {
				close(started)
				return
			}
			s.place.RetireIdle()
			s.startAhead(func() { close(started) })
		})
		if err != nil {
			return ErrNotRunning
		}
		<-started
	}
	return nil
}

// AwaitStarts waits until no instance is being started off the loops, and no TLS handshake
// computes there, and tells how many had been when it was called. What connections wait
// for has been given to their loops then. It is for tests over sockets in memory.
func (h *Host) AwaitStarts() (made uint64) {
	made = h.reactor.AwaitHandshakes()
	for _, p := range h.loaded() {
		made += p.launched.Load()
		p.mu.Lock()
		versions := p.listed()
		p.mu.Unlock()
		for _, v := range versions {
			v.launcher.await()
		}
	}
	return made
}

// Trace begins the trace of a plugin (conn is 0), or of the one of its connections that
// has the handle conn, in place of the one before, or ends it. A trace logs every call in
// and out of a guest, and what is handed over. It waits for a turn of each loop. The
// error is ErrUnknown, ErrNoConnection or ErrNotRunning.
func (h *Host) Trace(plugin string, conn int32, on bool) error {
	p, err := h.plugin(plugin)
	if err != nil {
		return err
	}
	if on && conn != 0 && !p.account.HasConnection(conn) {
		return fmt.Errorf("connection %s/%d: %w", plugin, conn, ErrNoConnection)
	}
	p.account.SetTrace(conn, on)
	if err := p.followWatch(); err != nil {
		return err
	}
	p.log.Info("trace", "on", on, "conn", conn)
	return nil
}

// errTraceTaken ends a trace whose place another has taken.
var errTraceTaken = errors.New("another trace of the plugin has taken its place")

// TraceTo traces as Trace does, but the lines go to to, which must not block, until ctx is done
// or another trace takes its place: that is an error, as those of Trace are. Where to is nil it
// only tells those.
func (h *Host) TraceTo(ctx context.Context, plugin string, conn int32, to io.Writer) error {
	p, err := h.plugin(plugin)
	switch {
	case err != nil:
		return err
	case conn != 0 && !p.account.HasConnection(conn):
		return fmt.Errorf("connection %s/%d: %w", plugin, conn, ErrNoConnection)
	case to == nil:
		return nil
	}
	over, end := p.account.StreamTrace(conn, func(line []byte) {
		_, _ = to.Write(line) // whoever reads it tells what was lost
	})
	p.log.Info("trace", "on", true, "conn", conn, "to", "who asked")
	if err = p.followWatch(); err == nil {
		select {
		case <-ctx.Done():
		case <-p.gone:
			err = ErrUnknown
		case <-h.stopping:
			err = ErrNotRunning
		case <-over:
			err = errTraceTaken
		}
	}
	end()
	_ = p.followWatch() // where the loops have ended, nothing is traced
	p.log.Info("trace", "on", false, "conn", conn, "to", "who asked")
	return err
}

// followWatch has what is watched of the plugin hold for all its instances.
func (p *plugin) followWatch() error {
	for _, s := range p.allSlots() {
		if err := onLoop(s.place.Loop, s.place.FollowWatch); err != nil {
			return ErrNotRunning
		}
	}
	return nil
}
