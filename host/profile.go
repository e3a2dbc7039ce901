package host

import (
	"context"
	"fmt"
	"time"

	"github.com/google/pprof/profile"
)

// Profile samples for so long where a plugin's guests spend their time, by function: on
// all loops and in all versions, those too that come while it runs. It ends early with
// ctx, with the plugin, or with the host, with what it has then; the profile's comments say
// so. A stack has the number of its samples, its share of the time that callbacks took, in
// ns, and the labels plugin, version and export (the callback). A plugin has one profile at
// a time. The error is ErrUnknown, ErrProfiling or ErrNotRunning. Any
// goroutine but a loop's.
func (h *Host) Profile(ctx context.Context, plugin string, d time.Duration) (*profile.Profile, error) {
	p, err := h.plugin(plugin)
	if err != nil {
		return nil, err
	}
	running := p.account.BeginProfile(len(p.loops), h.spent)
	if running == nil {
		return nil, fmt.Errorf("plugin %s: %w", plugin, ErrProfiling)
	}
	note := ""
	if err = p.followWatch(); err == nil {
		p.log.Info("profile", "on", true, "for", d.String())
		defer p.log.Info("profile", "on", false)
		note = p.awaitProfile(ctx, d)
	}
	p.account.EndProfile(running)
	// A loop that has ended has none of it left to tell.
	_ = p.followWatch()
	for n, l := range p.loops {
		_ = onLoop(l, func() { running.Stop(n) })
	}
	if err != nil {
		return nil, err
	}
	return running.Result(note), nil
}

// awaitProfile waits for the end of a profile, and says what cut it short, or "".
func (p *plugin) awaitProfile(ctx context.Context, d time.Duration) string {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return "ended early"
	case <-p.gone:
		return "ended early: the plugin was unloaded"
	case <-p.host.stopping:
		return "ended early: the host is ending"
	}
	return ""
}
