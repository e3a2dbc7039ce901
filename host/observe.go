package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// Observer is told what becomes of connections and of plugins' versions. A field that is
// nil costs nothing.
type Observer struct {
	// Ended is told of each connection that has ended, and each socket for datagrams that a
	// guest had opened, on its loop: it must not block.
	Ended func(ConnEnd)
	// Sample is the share of the connections, 0 to 1, whose callbacks are noted for Ended.
	Sample float64
	// Reloaded is told of each change of a plugin's version, on the goroutine that made it.
	Reloaded func(Reloading)
}

// ConnEnd is a connection that has ended, accepted or outgoing, or a socket for datagrams that
// a guest had opened, whose Peer is what it was opened for.
type ConnEnd struct {
	ID, Plugin, Version string // as in ConnInfo; "" where it never had a guest. Version is NAME@HASH
	Peer, Host          string // endpoints
	Listener            string // the endpoint that accepted it; "" = it is outgoing
	Reason              reactor.Reason
	Age                 time.Duration
	In, Out             uint64       // bytes of the socket
	TLSVersion          uint16       // such as 0x0304 for 1.3; 0 = none, or its handshake was not completed
	ServerName          string       // that the client asked TLS for: any bytes
	Noted               *guest.Noted // its callbacks; nil = they were not noted
}

// Reloading is a change of a plugin's version, as it went.
type Reloading struct {
	Plugin, Previous string
	Version          string // "" where the module was refused
	Began            time.Time
	Took             time.Duration
	Steps            []Step // in their order
	Err              error  // why it was refused; nil = it was done
	Outcome          Outcome
}

// Step is a part of a Reloading: compile, start, rehearse, canary, move.
type Step struct {
	Name  string
	Began time.Time
	Took  time.Duration
	Err   error
}

// Observe has o told from now on, in place of the one before; nil = nobody is. Any goroutine.
func (h *Host) Observe(o *Observer) {
	h.observer.Store(o)
	for _, p := range h.all() {
		p.sample()
		for _, s := range p.allSlots() {
			// A loop that has ended has no callbacks.
			_ = s.place.Loop.CallFromThread(s.place.FollowWatch)
		}
	}
}

// sample has the callbacks of so many of the plugin's connections noted as the observer wants.
func (p *plugin) sample() {
	o := p.host.observer.Load()
	if o == nil || o.Ended == nil || o.Sample <= 0 {
		p.account.SetSample(nil)
		return
	}
	share := o.Sample
	p.account.SetSample(func() bool { return rand.Float64() < share })
}

// tellEnded tells the observer of a connection. On its loop.
func (h *Host) tellEnded(e reactor.Ended) {
	if o := h.observer.Load(); o != nil && o.Ended != nil {
		o.Ended(connEnd(e))
	}
}

// socketEnded tells the observer of a socket that an instance had opened. On its loop.
func (v *version) socketEnded(e guest.SocketEnd) {
	o := v.host.observer.Load()
	if o == nil || o.Ended == nil {
		return
	}
	end := ConnEnd{ID: fmt.Sprintf("%s/%d", v.plugin.name, e.Handle), Plugin: v.plugin.name, Version: v.name,
		Peer: e.To.String(), Reason: e.Reason, Age: e.Age}
	if e.On != nil { // its commit has opened it
		s := e.On.Stats()
		end.Host, end.In, end.Out = e.On.Host(), s.BytesIn, s.BytesOut
	}
	o.Ended(end)
}

func connEnd(e reactor.Ended) ConnEnd {
	stats := e.Transport.Stats()
	c := ConnEnd{Peer: e.Transport.Peer(), Host: e.Transport.Host(), Reason: e.Reason, Age: e.Age(),
		In: stats.In, Out: stats.Out}
	c.TLSVersion, c.ServerName = e.TLS()
	if e.Listener != nil {
		c.Listener = e.Listener.Endpoint().String()
		switch f := e.Listener.Factory().(type) {
		case *plugin:
			c.Plugin = f.name
		case interface{ AccountName() string }: // a guest listens
			c.Plugin = f.AccountName()
		}
	}
	if g, ok := e.Protocol.(interface {
		Identity() (plugin, version string, handle int32, noted *guest.Noted)
	}); ok {
		var handle int32
		c.Plugin, c.Version, handle, c.Noted = g.Identity()
		c.ID = fmt.Sprintf("%s/%d", c.Plugin, handle)
	}
	return c
}

// timeline notes how a change of a plugin's version goes. nil notes nothing.
type timeline struct {
	host *Host
	r    Reloading
	told bool
}

func (p *plugin) beginTimeline() *timeline {
	return &timeline{host: p.host, r: Reloading{Plugin: p.name, Previous: p.current().name, Began: time.Now()}}
}

// step does a part of the change.
func (t *timeline) step(name string, do func() error) error {
	if t == nil {
		return do()
	}
	began := time.Now()
	err := do()
	t.r.Steps = append(t.r.Steps, Step{name, began, time.Since(began), err})
	return err
}

// end tells of the change, once.
func (t *timeline) end(out Outcome, err error) {
	if t == nil || t.told {
		return
	}
	t.told = true
	if o := t.host.observer.Load(); o != nil && o.Reloaded != nil {
		t.r.Took, t.r.Outcome, t.r.Err = time.Since(t.r.Began), out, err
		o.Reloaded(t.r)
	}
}

// errNotAlone ends a change that was sound, and was part of one that was refused.
var errNotAlone = errors.New("another part of the change was refused")

// keepTimes has the rest of the change noted.
func (r *replacement) keepTimes(t *timeline) {
	t.r.Version = r.new.name
	r.times = t
}
