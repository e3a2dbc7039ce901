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
// so. A sample stands for a slice of the meter's fuel: it has that count and the time since
// the loop's last one, and the labels plugin, version and export (the callback). A plugin
// has one profile at a time. The error is ErrUnknown, ErrProfiling or ErrNotRunning.
func (h *Host) Profile(ctx context.Context, plugin string, d time.Duration) (*profile.Profile, error) {
	p, err := h.plugin(plugin)
	if err != nil {
		return nil, err
	}
	running := p.account.BeginProfile(len(p.loops), h.spent)
	if running == nil {
		return nil, fmt.Errorf("plugin %s: %w", plugin, ErrProfiling)
	}
	p.log.Info("profile", "on", true, "for", d.String())
	defer p.log.Info("profile", "on", false)
	if err := p.followWatch(); err != nil {
		running.End(p.account)
		return nil, err
	}
	var notes []string
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		notes = append(notes, "ended early")
	case <-p.gone:
		notes = append(notes, "ended early: the plugin was unloaded")
	case <-h.stopping:
		notes = append(notes, "ended early: the host is ending")
	}
	out := running.End(p.account, notes...)
	// Where that fails the host ends, and its guests with it.
	_ = p.followWatch()
	return out, nil
}
