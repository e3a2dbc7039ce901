package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// waiting connects to an address where nobody accepts meanwhile, and asks which listener it
// came from.
func waiting(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := dial(t, addr)
	send(t, c, "f")
	return c
}

// listeners is how many listeners the guests of a plugin have.
func (h *Host) listenersOf(plugin string) int { return h.plugins[plugin].account.Counts().Listeners }

// awaitListeners waits until there are so many: a socket is closed before that is noted.
func (s *server) awaitListeners(t *testing.T, want int) {
	t.Helper()
	for late := time.Now().Add(patience); s.listenersOf("guest") != want; {
		if time.Now().After(late) {
			t.Fatalf("found %d listeners, wanted %d", s.listenersOf("guest"), want)
		}
	}
}

// TestHandoverListeners: guests' listeners go to the new process under their numbers, with
// their instances and their state, or without; who has connected meanwhile gets there.
func TestHandoverListeners(t *testing.T) {
	testListenersMove(t, func(t *testing.T, s *server, addr string, listener int32) int {
		v := &virtual{server: s}
		var queued net.Conn
		h, list, err := v.handOver(t, s.Config(), func(h *heir) {
			h.ready = func() { queued = waiting(t, addr) }
		})
		if err != nil || list[0].Listeners != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if got := answer(t, queued); got != listener {
			t.Errorf("who has waited came from listener %d, wanted %d", got, listener)
		}
		h.awaitListeners(t, 1)
		return list[0].Moved
	})
}

// TestHandoverListensInStart: where the new process's start listens at the address of a
// listener that moves, it gets that one; at any other, it takes nothing in before it has taken
// over. Once more from there.
func TestHandoverListensInStart(t *testing.T) {
	for _, isolation := range isolations {
		for _, reload := range []config.ReloadPolicy{config.ReloadMigrate, config.ReloadDrain} {
			t.Run(string(isolation)+"/"+string(reload), func(t *testing.T) {
				p, addr := listensInStart(t, isolation)
				p.Reload, p.Drain = reload, time.Hour
				cfg := configuration(p)
				cfg.Reactor.Loops = 1
				v := &virtual{server: serve(t, cfg)}
				if isolation == config.IsolationConnection { // an instance that nobody is connected to has ended
					tell(t, dial(t, v.addrs[0]), "o")
				}
				for range 2 {
					in := dial(t, addr)
					own := tell(t, in, "o")
					var queued net.Conn
					h, list, err := v.handOver(t, cfg, func(h *heir) {
						h.ready = func() { queued = waiting(t, addr) }
					})
					if err != nil || list[0].Listeners != 1 {
						t.Fatalf("%+v, %v", list, err)
					}
					if got := answer(t, queued); got != own {
						t.Errorf("who has waited came from listener %d, wanted %d", got, own)
					}
					fresh := dial(t, addr)
					if from, has := tell(t, fresh, "f"), tell(t, fresh, "o"); from != own || has != own {
						t.Errorf("one came from listener %d, and the start has got %d, wanted %d", from, has, own)
					}
					h.awaitListeners(t, 1)
					in.Close()
					v = h.virtual
				}
			})
		}
	}
}

// TestHandoverListensElsewhere: an address that is new is listened on, and one that is not
// listened on any more by a start goes on with the instance that had it.
func TestHandoverListensElsewhere(t *testing.T) {
	p, first := listensInStart(t, config.IsolationLoop)
	cfg := configuration(p)
	cfg.Reactor.Loops = 1
	v := &virtual{server: serve(t, cfg)}
	in := dial(t, first)
	own := tell(t, in, "o")
	p, second := listensInStart(t, config.IsolationLoop)
	to := configuration(p)
	to.Listeners = cfg.Listeners
	h, list, err := v.handOver(t, to, nil)
	if err != nil || list[0].Listeners != 1 || list[0].Moved != 1 { // the start has taken nobody's handle
		t.Fatalf("%+v, %v", list, err)
	}
	if from := tell(t, in, "f"); from != own {
		t.Errorf("one of before came from listener %d, wanted %d", from, own)
	}
	if from := tell(t, dial(t, first), "f"); from != own {
		t.Errorf("one came from listener %d, wanted %d", from, own)
	}
	c := dial(t, second)
	if from, has := tell(t, c, "f"), tell(t, c, "o"); from != has || from < 1 || from == own {
		t.Errorf("one came from listener %d, and the start has got %d", from, has)
	}
	h.awaitListeners(t, 2)
}

// TestHandoverListensNoMore: what the old process's guest stops to listen on, once the new one
// knows of it, that one's start binds itself.
func TestHandoverListensNoMore(t *testing.T) {
	p, addr := listensInStart(t, config.IsolationShared)
	cfg := configuration(p)
	v := &virtual{server: serve(t, cfg)}
	c := dial(t, addr)
	own := tell(t, c, "o")
	_, list, err := v.handOver(t, cfg, func(h *heir) {
		h.ready = func() {
			if status := tell(t, c, letter("s", own)); status != 0 {
				t.Errorf("stopListening returned %d", status)
			}
			awaitFree(t, addr)
		}
	})
	if err != nil || list[0].Listeners != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	in := dial(t, addr)
	if from, has := tell(t, in, "f"), tell(t, in, "o"); from != has || from != own {
		t.Errorf("one came from listener %d, and the start has got %d, wanted %d", from, has, own)
	}
}

// TestHandoverListenersFail: wherever it fails, the old process's listeners listen, under
// their numbers, and who has connected meanwhile is answered.
func TestHandoverListenersFail(t *testing.T) {
	for name, edit := range map[string]func(*heir){
		"lost": func(h *heir) { h.lost = errors.New("it has ended") },
		"late": func(h *heir) { h.late = errors.New("it has ended") },
	} {
		for _, isolation := range isolations {
			t.Run(name+"/"+string(isolation), func(t *testing.T) {
				cfg := configuration(listensPlugin(isolation))
				v := &virtual{server: serve(t, cfg)}
				c := dial(t, v.addrs[0])
				listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
				tell(t, c, letter("m", 77))
				var queued net.Conn
				_, _, err := v.handOver(t, cfg, func(h *heir) {
					edit(h)
					if name == "lost" { // else it may be the other's by then, and end with it
						h.ready = func() { queued = waiting(t, addr) }
					}
				})
				if err == nil {
					t.Fatal("it was handed over")
				}
				mark := int32(0) // its state has gone
				if name == "lost" {
					mark = 77
					if got := answer(t, queued); got != listener {
						t.Errorf("who has waited came from listener %d, wanted %d", got, listener)
					}
				}
				fresh := dial(t, addr)
				if from, is := tell(t, fresh, "f"), tell(t, fresh, "g"); from != listener || is != mark {
					t.Errorf("from listener %d, at mark %d, wanted %d and %d", from, is, listener, mark)
				}
			})
		}
	}
}

// TestHandoverListenersRefused: what may not be listened on by a new configuration goes on, as
// at a reload; what can't is closed, and told.
func TestHandoverListenersRefused(t *testing.T) {
	cert, key, _ := certificate(t, time.Now().Add(time.Hour))
	p := listensPlugin(config.IsolationShared)
	p.Allow.Listen = append(p.Allow.Listen, "tls://127.0.0.1:0")
	p.Allow.TLS = config.TLS{Cert: cert, Key: key}
	cfg := configuration(p)
	v := &virtual{server: serve(t, cfg)}
	c := dial(t, v.addrs[0])
	plain, addr := listenAt(t, c, "tcp://127.0.0.1:0")
	_, tlsAddr := listenAt(t, c, "tls://127.0.0.1:0")
	p = listensPlugin(config.IsolationShared)
	p.Allow.Listen, p.Limits.Listeners = nil, 1
	to := configuration(p)
	to.Listeners = cfg.Listeners
	_, list, err := v.handOver(t, to, nil)
	if err != nil || list[0].Listeners != 1 || len(list[0].Closed) != 1 || list[0].Moved != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	want := "plugin guest: a listener of its guests ends: tls://" + tlsAddr + ": reactor: listen on tls://127.0.0.1:0"
	if lines := (Upgraded{Plugins: list}).Lines(); !slices.ContainsFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, want) && strings.HasSuffix(line, "found no certificate")
	}) {
		t.Errorf("found %q, wanted %q", lines, want)
	}
	if from := tell(t, dial(t, addr), "f"); from != plain {
		t.Errorf("it came from listener %d, wanted %d", from, plain)
	}
	awaitFree(t, tlsAddr)
	if from := tell(t, c, "f"); from != 0 { // its instance stays
		t.Errorf("found %d", from)
	}
}

// TestHandoverUnixListener: the file of a Unix socket is the new process's from the end on.
func TestHandoverUnixListener(t *testing.T) {
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := dir + "/s"
	p := listensPlugin(config.IsolationLoop)
	p.Allow.Listen = append(p.Allow.Listen, "unix://"+path)
	cfg := configuration(p)
	v := &virtual{server: serve(t, cfg)}
	listener := tell(t, dial(t, v.addrs[0]), "lunix://"+path)
	h, list, err := v.handOver(t, cfg, nil)
	if err != nil || list[0].Listeners != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	v.end()
	in, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if from := tell(t, in, "f"); from != listener {
		t.Errorf("it came from listener %d, wanted %d", from, listener)
	}
	h.end()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file: %v", err)
	}
}

// TestDryRunListeners: a dry run counts them, and they listen.
func TestDryRunListeners(t *testing.T) {
	for _, reload := range []config.ReloadPolicy{config.ReloadMigrate, config.ReloadDrain} {
		p := listensPlugin(config.IsolationShared)
		p.Reload = reload
		v := &virtual{server: serve(t, configuration(p))}
		c := dial(t, v.addrs[0])
		listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
		o, err := v.BeginHandover()
		if err != nil {
			t.Fatal(err)
		}
		list, err := o.Move(t.Context(), nil)
		if err = errors.Join(err, o.Abandon()); err != nil || list[0].Listeners != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		if lines := fmt.Sprint(Upgraded{DryRun: true, Plugins: list}.Lines()); !strings.Contains(lines,
			"plugin guest: listeners of its guests that would move: 1") {
			t.Error(lines)
		}
		if from := tell(t, dial(t, addr), "f"); from != listener {
			t.Errorf("it came from listener %d, wanted %d", from, listener)
		}
	}
}

// TestHandoverListensLater: what a guest that stays listens on later is its own, and takes
// connections.
func TestHandoverListensLater(t *testing.T) {
	for _, isolation := range isolations {
		p := listensPlugin(isolation)
		p.Reload, p.Drain = config.ReloadDrain, time.Hour
		cfg := configuration(p)
		v := &virtual{server: serve(t, cfg)}
		c := dial(t, v.addrs[0])
		tell(t, c, letter("m", 5))
		if _, list, err := v.handOver(t, cfg, nil); err != nil || list[0].Stay != 1 {
			t.Fatalf("%s: %+v, %v", isolation, list, err)
		}
		listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
		in := dial(t, addr)
		if from, mark := tell(t, in, "f"), tell(t, in, "g"); from != listener || mark != 5 {
			t.Errorf("%s: from listener %d, at mark %d, wanted %d and 5", isolation, from, mark, listener)
		}
	}
}

// TestHandoverListensMeanwhile: so is what it listens on when the others have moved, and the old
// process is not done with the handover.
func TestHandoverListensMeanwhile(t *testing.T) {
	for _, isolation := range isolations {
		p := listensPlugin(isolation)
		p.Reload, p.Drain = config.ReloadDrain, time.Hour
		cfg := configuration(p)
		v := &virtual{server: serve(t, cfg)}
		c := dial(t, v.addrs[0])
		var listener int32
		var in net.Conn
		_, list, err := v.handOver(t, cfg, func(h *heir) {
			h.moved = func() {
				var addr string
				listener, addr = listenAt(t, c, "tcp://127.0.0.1:0")
				in = waiting(t, addr)
			}
		})
		if err != nil || list[0].Stay != 1 {
			t.Fatalf("%s: %+v, %v", isolation, list, err)
		}
		if from := answer(t, in); from != listener {
			t.Errorf("%s: from listener %d, wanted %d", isolation, from, listener)
		}
	}
}

// TestHandoverClaimEnds: what a start has found of another version's while listeners were held
// does not keep it open when nothing was handed over.
func TestHandoverClaimEnds(t *testing.T) {
	p, addr := listensInStart(t, config.IsolationLoop)
	p.Reload, p.Drain = config.ReloadDrain, time.Hour
	cfg := configuration(p)
	cfg.Reactor.Loops = 1
	s := serve(t, cfg)
	before := dial(t, s.addrs[0])
	tell(t, before, "o")
	if _, err := s.ReloadPlugin(t.Context(), "guest", true); err != nil {
		t.Fatal(err)
	}
	after := dial(t, s.addrs[0])
	if status := tell(t, after, letter("s", tell(t, after, "o"))); status != 0 {
		t.Fatalf("stopListening returned %d", status)
	}
	awaitFree(t, addr)
	listener, _ := listenAt(t, before, "tcp://"+addr)
	o, err := s.BeginHandover()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.holdListeners(); err != nil {
		t.Fatal(err)
	}
	send(t, after, "t")
	expectReset(t, after)
	if own := tell(t, dial(t, s.addrs[0]), "o"); own != listener {
		t.Errorf("the start has got %d, wanted %d", own, listener)
	}
	if err := o.Abandon(); err != nil {
		t.Fatal(err)
	}
	if status := tell(t, before, letter("s", listener)); status != 0 {
		t.Errorf("stopListening returned %d", status)
	}
	awaitFree(t, addr)
}
