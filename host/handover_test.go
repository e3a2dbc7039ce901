package host

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// heir is the host that takes over, in the same process: a Successor.
type heir struct {
	*virtual
	take   *Takeover
	refuse func(Handed) string // nil = nothing
	lost   error               // of each Commit
	late   error               // of its start, once all was committed
	steady bool                // its clock is

	ready    func()        // called when it is, before anything moves
	moved    func()        // called behind all moves
	unwanted []string      // endpoints
	loops    int           // 0 = 1
	offers   time.Duration // what each takes

	accepts []bool // of each Commit
}

func (h *heir) Offer(list []Handed) ([]string, error) {
	if h.sys != nil {
		h.sys.Advance(h.offers)
	}
	refused := h.take.Adopt(list)
	for n := range list {
		if h.refuse != nil && refused[n] == "" {
			refused[n] = h.refuse(list[n])
		}
	}
	return refused, nil
}

func (h *heir) Commit(accept bool) (bool, error) {
	h.accepts = append(h.accepts, accept)
	if h.lost != nil {
		return false, h.lost
	}
	return true, h.take.Commit()
}

func (h *heir) Withdraw() { _ = h.take.Drop() }

// handOver has another host take over. Where that fails, v goes on.
func (v *virtual) handOver(t *testing.T, cfg config.Config, edit func(*heir)) (*heir, []Departure, error) {
	t.Helper()
	o, err := v.BeginHandover()
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[string]*os.File{}
	files, err := o.ListenerFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		sockets[f.Endpoint] = f.File
	}
	ports, err := o.PortFiles()
	if err != nil {
		t.Fatal(err)
	}
	h := &heir{}
	if edit != nil {
		edit(h)
	}
	for _, p := range ports {
		if slices.Contains(h.unwanted, p.Endpoint) {
			closeFiles(p.Files)
		}
	}
	if err := o.StopAccepting(h.unwanted); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var list []Departure
	h.virtual = &virtual{sys: v.sys, server: newServer(t, cfg)}
	if v.sys != nil {
		h.o.Sys = v.sys
	}
	if h.steady {
		steady(h.Host)
	}
	h.o.Inherited = func(endpoint string) *os.File { return sockets[endpoint] }
	h.o.InheritedDatagrams = func(endpoint string) (string, []*os.File, bool) {
		for _, t := range ports {
			if t.Endpoint == endpoint && !slices.Contains(h.unwanted, endpoint) {
				return t.Bound, t.Files, false
			}
		}
		return "", nil, false
	}
	handles, listening := o.Handles(), o.GuestListeners()
	h.o.InheritedGuests = func(plugin string) (Handles, []GuestListener) { return handles[plugin], listening[plugin] }
	h.o.TakeOver = func(take *Takeover) error {
		if h.ready != nil {
			h.ready()
		}
		h.take = take
		take.GoOn(o.Handles())
		expected, err := o.Expected()
		if err != nil {
			return err
		}
		expected["guest"]++ // one will have ended
		take.Expect(expected)
		list, err = o.Move(ctx, h)
		if h.moved != nil {
			h.moved()
		}
		return errors.Join(err, h.late)
	}
	h.cfg.Reactor.Loops = max(1, h.loops)
	err = h.Start(ctx)
	t.Cleanup(func() { h.end() })
	if err == nil {
		h.take.End(nil)
	}
	if err != nil {
		h.end()
		if err := o.Abandon(); err != nil {
			t.Error(err)
		}
		return h, list, err
	}
	if err := o.Finish(); err != nil {
		t.Error(err)
	}
	return h, list, nil
}

// end ends a host at once.
func (v *virtual) end() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = v.Shutdown(ctx) // connections may be open still
}

// TestHandover: whatever a connection is in the middle of goes on in the new process.
func TestHandover(t *testing.T) {
	for _, tc := range moveCases() {
		if tc.name == "connecting" {
			continue // TestHandoverUnsettled
		}
		for _, isolation := range isolations {
			t.Run(tc.name+"/"+string(isolation), func(t *testing.T) {
				v, cfg := obeying(t, isolation)
				c := v.dial(t)
				tc.before(t, v, c)
				h, list, err := v.handOver(t, cfg, nil)
				if err != nil || len(list) != 1 || list[0].Moved != tc.moved || list[0].Stay != 0 {
					t.Fatalf("%+v, %v", list, err)
				}
				tc.after(t, h.virtual, c)
				for _, p := range []*plugin{h.plugins["guest"], v.plugins["guest"]} {
					if traps := p.account.Counts().Traps; len(traps) > 0 {
						t.Error(traps)
					}
				}
				if n := v.reactor.Connections(); n != 0 {
					t.Errorf("found %d connections left behind", n)
				}
			})
		}
	}
}

// TestHandoverUnsettled: a connection that is being made keeps its instance.
func TestHandoverUnsettled(t *testing.T) {
	v, cfg := obeying(t, config.IsolationLoop)
	c := v.dial(t)
	send(t, c, doConnect)
	bits(t, c)
	_, list, err := v.handOver(t, cfg, nil)
	if err != nil || list[0].Moved != 0 || list[0].Stay != 2 ||
		list[0].Kept["a connection is being made, or ends"] != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	v.turn(t, 5*time.Second)
	expect(t, c, saysConnectFailed)
}

// TestHandoverFails: what is refused, or not committed, goes on where it was, with its timer,
// and so does the whole host.
func TestHandoverFails(t *testing.T) {
	for name, edit := range map[string]func(*heir){
		"refused": func(h *heir) { h.refuse = func(Handed) string { return "it has no room" } },
		"lost":    func(h *heir) { h.lost = errors.New("it has ended") },
	} {
		for _, isolation := range isolations {
			t.Run(name+"/"+string(isolation), func(t *testing.T) {
				v, cfg := obeying(t, isolation)
				c := v.dial(t)
				send(t, c, doStartTimer+doPush)
				before := bits(t, c)
				_, list, err := v.handOver(t, cfg, edit)
				if lost := name == "lost"; (err != nil) != lost || list[0].Moved != 0 || list[0].Stay != 1 {
					t.Fatalf("%+v, %v", list, err)
				}
				if got := bits(t, c); got != before {
					t.Errorf("found state %d, wanted %d", got, before)
				}
				v.turn(t, time.Second)
				expect(t, c, saysTimerDue)
				if err != nil && isolation == config.IsolationConnection { // the guest obeys its first one
					bits(t, v.dial(t))
				}
			})
		}
	}
}

// TestHandoverFaults: a fault of a state that is saved or restored keeps its connection where
// it is, or ends it where its own version traps; the others of other instances move.
func TestHandoverFaults(t *testing.T) {
	for _, tc := range moveFaults() {
		for _, isolation := range isolations {
			t.Run(tc.fault+"/"+string(isolation), func(t *testing.T) {
				p := config.Plugin{Module: "testdata/particular.wasm", Isolation: isolation}
				p.Limits.State, p.Limits.CallbackTime = 1000, 2*time.Millisecond
				cfg := configuration(p)
				v := serveVirtual(t, cfg, steady)
				bad, good := &counting{Conn: v.dial(t)}, &counting{Conn: v.dial(t)}
				if err := errors.Join(bad.roundTrip(tc.sent), good.roundTrip(1)); err != nil {
					t.Fatal(err)
				}
				_, list, err := v.handOver(t, cfg, func(h *heir) { h.steady = true })
				if err != nil {
					t.Fatal(err)
				}
				d := list[0]
				for why := range d.Kept {
					if !strings.Contains(why, tc.why) || tc.why == "" {
						t.Errorf("stays because of %q, wanted %q", why, tc.why)
					}
				}
				var want Departure
				alone := isolation == config.IsolationConnection
				if tc.why == "" {
					want.Dropped = 2
					expectEnd(t, bad)
				} else {
					want.Stay = 2
					stayed(t, bad)
				}
				switch {
				case alone:
					want = Departure{Moved: 1, Stay: want.Stay / 2, Dropped: want.Dropped / 2}
					moved(t, good)
				case tc.why == "":
					expectEnd(t, good)
				default:
					stayed(t, good)
				}
				if d.Moved != want.Moved || d.Stay != want.Stay || d.Dropped != want.Dropped {
					t.Errorf("found %+v, wanted %+v", d, want)
				}
			})
		}
	}
}

// TestHandoverRefuses: a new process that has another module or another setting says why it
// can't take what the old one has.
func TestHandoverRefuses(t *testing.T) {
	for want, edit := range map[string]func(*config.Plugin){
		"reload: drain, in the new process": func(p *config.Plugin) { p.Reload = config.ReloadDrain },
		"in the new process":                func(p *config.Plugin) { p.Isolation = config.IsolationConnection },
		"timers are alive, and the new version has no delayedCall": func(p *config.Plugin) {
			p.Module = "testdata/particular.wasm"
		},
	} {
		v, cfg := obeying(t, config.IsolationLoop)
		c := v.dial(t)
		send(t, c, doStartTimer)
		bits(t, c)
		p := cfg.Plugins["guest"]
		edit(&p)
		cfg.Plugins = map[string]config.Plugin{"guest": p}
		_, list, err := v.handOver(t, cfg, nil)
		if err != nil || list[0].Stay != 1 {
			t.Fatalf("%s: %+v, %v", want, list, err)
		}
		for why := range list[0].Kept {
			if !strings.Contains(why, want) {
				t.Errorf("found %q, wanted %q", why, want)
			}
		}
		bits(t, c)
	}
}

// TestHandoverCommits: all is committed at once, and where that takes too long, what has come.
// New connections are the other's when all instances of several connections are.
func TestHandoverCommits(t *testing.T) {
	for _, tc := range []struct {
		isolation config.Isolation
		offers    time.Duration // what each takes
		accepts   []bool
	}{
		{config.IsolationConnection, longestFrozen / 4, []bool{true}},
		{config.IsolationConnection, longestFrozen, []bool{true, true, true}}, // 64, 6, and the last
		{config.IsolationLoop, longestFrozen, []bool{false, true}},
	} {
		cfg := configuration(numbered("testdata/counter.wasm", tc.isolation, 0))
		v := serveVirtual(t, cfg, steady)
		var conns []*counting
		for range batchSockets + 6 {
			c := &counting{Conn: v.dial(t)}
			if err := c.roundTrip(1); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		h, list, err := v.handOver(t, cfg, func(h *heir) { h.offers, h.steady = tc.offers, true })
		if err != nil || list[0].Moved != len(conns) || !slices.Equal(h.accepts, tc.accepts) {
			t.Errorf("%s: found %+v, %v, %v, wanted %v", tc.isolation, list, err, h.accepts, tc.accepts)
		}
		for _, c := range conns {
			if err := c.roundTrip(2); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestHandoverHandles: numbers of the new process don't meet those that come later.
func TestHandoverHandles(t *testing.T) {
	v, cfg := obeying(t, config.IsolationConnection)
	c := v.dial(t)
	bits(t, c)
	h, _, err := v.handOver(t, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := h.dial(t)
	bits(t, d)
	a := h.plugins["guest"].account
	if conns, _ := a.Handles(); !a.HasConnection(1) || conns <= 1<<20 {
		t.Errorf("found %d as the last handle, and the first connection: %t", conns, a.HasConnection(1))
	}
	for _, c := range []net.Conn{c, d} {
		c.Close()
	}
}

// TestChangeDuringHandover: nothing else changes meanwhile, nor afterwards, where who has waited
// would take what the other process has.
func TestChangeDuringHandover(t *testing.T) {
	v, cfg := obeying(t, config.IsolationLoop)
	o, err := v.BeginHandover()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(plugin, want error) {
		t.Helper()
		_, err := v.Reload(context.Background(), cfg)
		_, pluginErr := v.ReloadPlugin(context.Background(), "guest", true)
		again, second := v.BeginHandover()
		if second == nil {
			second = again.Abandon()
		}
		if !errors.Is(err, want) || !errors.Is(pluginErr, plugin) || !errors.Is(second, want) {
			t.Errorf("found %v, %v and %v, wanted %v", err, pluginErr, second, want)
		}
	}
	refused(ErrChanging, ErrChanging)
	if err := o.Abandon(); err != nil {
		t.Error(err)
	}
	if _, err := v.ReloadPlugin(context.Background(), "guest", true); err != nil {
		t.Error(err)
	}
	if _, _, err := v.handOver(t, cfg, nil); err != nil {
		t.Fatal(err)
	}
	refused(ErrNotRunning, ErrNotRunning)
}
