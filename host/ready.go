package host

import (
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// readiness is how far a host has come. Any goroutine.
type readiness struct {
	mu        sync.Mutex
	bound     bool     // the listeners are, and the loops run
	endpoints []string // that are listened on
	announced bool
}

// noteBound notes that the listeners are bound, and on what endpoints.
func (r *readiness) noteBound(endpoints []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bound, r.endpoints = true, endpoints
}

// started tells whether Start has come so far that the loops run.
func (r *readiness) started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bound
}

// announce logs ready once, when the listeners are bound and all is so.
func (r *readiness) announce(all func() bool, log hclog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.announced || !r.bound || !all() {
		return
	}
	r.announced = true
	log.Info("ready", "listening", strings.Join(r.endpoints, " "))
}

// told tells whether ready was logged.
func (r *readiness) told() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.announced
}

// announceListeners says what is listened on.
func (h *Host) announceListeners() {
	var endpoints []string
	for _, info := range h.ListenerInfos() {
		endpoints = append(endpoints, info.Endpoint)
		h.log.Info("listening", "endpoint", info.Endpoint, "plugin", info.Whom())
	}
	h.ready.noteBound(endpoints)
}

// announceReady logs ready once, when every plugin runs. Any goroutine.
func (h *Host) announceReady() { h.ready.announce(h.allStarted, h.log) }

// Ready tells whether every listener is bound and every plugin active, connections are taken,
// and Shutdown has not begun. It waits for no loop.
func (h *Host) Ready() bool { return h.Unready() == "" }

// Unready says why the host is not Ready, in words that tell nothing of its clients; "" where
// it is. Any goroutine.
func (h *Host) Unready() string {
	switch {
	case h.isStopping():
		return "the host is ending"
	case !h.ready.told():
		return "some listener is not bound, or some plugin has not started"
	case !h.allStarted():
		return "some plugin does not start"
	case h.overloaded.Load():
		return "overloaded: short of " + *h.shortOf.Load()
	case h.reactor.OutOfDescriptors():
		return "out of file descriptors"
	}
	return ""
}

// allStarted tells whether no plugin fails to start.
func (h *Host) allStarted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.plugins {
		if p.failing.Load() > 0 {
			return false
		}
	}
	return true
}
