package host

import (
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// Config is the configuration that runs, with what was loaded and unloaded
// since. Its maps and slices must not be changed. Any goroutine.
func (h *Host) Config() config.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg
}

// LoopInfo is how an event loop does.
type LoopInfo struct {
	reactor.LoopStats
	Lag    time.Duration // the longest turn since LoopInfos was called last
	Queued uint64        // bytes that its connections have to send
}

// LoopInfos tells how the event loops do. It waits for a turn of each.
func (h *Host) LoopInfos() ([]LoopInfo, error) {
	if !h.started() {
		return nil, ErrNotRunning
	}
	var list []LoopInfo
	for _, l := range h.reactor.Loops() {
		info := LoopInfo{LoopStats: l.Stats(), Lag: l.TakeLag()}
		err := onLoop(l, func() {
			for t := range l.Connections {
				info.Queued += uint64(t.Stats().Queued)
			}
		})
		if err != nil {
			return nil, ErrNotRunning
		}
		list = append(list, info)
	}
	return list, nil
}

// started tells whether Start has come so far that the loops run.
func (h *Host) started() bool {
	h.announceMu.Lock()
	defer h.announceMu.Unlock()
	return h.bound
}
