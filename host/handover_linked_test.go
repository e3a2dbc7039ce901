package host

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// departures are what became of two plugins.
func departuresOf(list []Departure) (guest, behind Departure) {
	for _, d := range list {
		switch d.Plugin {
		case "guest":
			guest = d
		case "behind":
			behind = d
		}
	}
	return guest, behind
}

// streamThrough writes pieces of bytes to an echo while three parts of them are read, with what is
// done between, and wants all of them back.
func streamThrough(t *testing.T, c net.Conn, closeWrite func() error, between func(n int)) {
	t.Helper()
	sent, written, over := make([]byte, 2<<20), make(chan error, 1), make(chan struct{})
	_, _ = rand.NewChaCha8([32]byte{}).Read(sent) // never fails
	go func() {
		var err error
		for rest := sent; len(rest) > 0 && err == nil; {
			n := min(len(rest), 1+rand.IntN(80_000))
			_, err = c.Write(rest[:n])
			rest = rest[n:]
		}
		<-over
		written <- errors.Join(err, closeWrite())
	}()
	defer func() {
		if t.Failed() {
			c.Close()
		}
	}()
	got := make([]byte, 0, len(sent))
	for n := range 3 {
		part := make([]byte, len(sent)/8)
		if _, err := io.ReadFull(c, part); err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
		between(n)
	}
	close(over)
	rest, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	if got = append(got, rest...); !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, or others", len(got), len(sent))
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// unhurriedMove gives guests time: what is tested is no limit of it.
func unhurriedMove(cfg *config.Config) {
	for name, p := range cfg.Plugins {
		p.Limits.CallbackTime, p.Drain = 10*time.Second, time.Hour
		cfg.Plugins[name] = p
	}
}

// inChain has the plugin behind be the next one of a chain.
func inChain(cfg *config.Config) {
	p := cfg.Plugins["guest"]
	p.Config = map[string]any{"target": "plugin://next"}
	cfg.Plugins["guest"] = p
	cfg.Listeners[0].Plugin, cfg.Listeners[0].Chain = "", []string{"guest", "behind"}
}

// TestHandoverLinked: a connection inside the process goes to the new one with both its ends,
// the outer one before it, and all bytes that are on their way; twice, whatever loops they are
// on. New ones are made there.
func TestHandoverLinked(t *testing.T) {
	for _, front := range []config.Isolation{config.IsolationLoop, config.IsolationConnection} {
		for _, behind := range isolations {
			for _, chain := range []bool{false, true} {
				name := string(front) + " " + string(behind)
				if chain {
					name += " in a chain"
				}
				t.Run(name, func(t *testing.T) {
					s := forwarding(t, config.Plugin{Module: built(t, "../../plugins/echo"), Isolation: behind},
						func(cfg *config.Config) {
							p := cfg.Plugins["guest"]
							p.Isolation = front
							cfg.Plugins["guest"] = p
							if chain {
								inChain(cfg)
							}
							unhurriedMove(cfg)
						})
					at := strings.TrimPrefix(s.Listeners()[0].String(), "tcp://")
					v, cfg, loops := &virtual{server: s}, s.cfg, []int{1, 2, 2}
					c := dial(t, at)
					streamThrough(t, c, c.CloseWrite, func(n int) {
						other := dial(t, at)
						send(t, other, "?")
						expect(t, other, "?")
						h, list, err := v.handOver(t, cfg, func(h *heir) { h.loops = loops[n] })
						front, back := departuresOf(list)
						if err != nil || front.Moved < 4 || back.Moved < 2 || front.Stay+back.Stay > 0 {
							t.Fatalf("handover %d: %+v, %v", n, list, err)
						}
						v = h.virtual
						send(t, other, "!")
						expect(t, other, "!")
					})
				})
			}
		}
	}
}

// TestHandoverLinkedStays: where one end can't move, or the outer connection before it, or the
// new process refuses one, all that hangs together stays, and goes on.
func TestHandoverLinkedStays(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	edit := func(name string, f func(*config.Plugin)) func(*config.Config) {
		return func(cfg *config.Config) {
			p := cfg.Plugins[name]
			f(&p)
			cfg.Plugins[name] = p
		}
	}
	for _, tc := range []struct {
		name  string
		tls   uint16
		chain bool
		here  func(*config.Config)
		there func(*config.Config)
		why   string
	}{
		{name: "the one behind is drained", chain: true,
			here: edit("behind", func(p *config.Plugin) { p.Reload = config.ReloadDrain }),
			why:  "it hangs together with plugin behind: reload: drain"},
		{name: "the one before is drained",
			here: edit("guest", func(p *config.Plugin) { p.Reload = config.ReloadDrain }),
			why:  "it hangs together with plugin guest: reload: drain"},
		{name: "TLS 1.2", tls: tls.VersionTLS12, chain: true, why: "TLS 1.2"},
		{name: "refused behind",
			there: edit("behind", func(p *config.Plugin) { p.Isolation = config.IsolationShared }),
			why:   "it hangs together with plugin behind: isolation: loop, and shared in the new process"},
		{name: "refused before",
			there: edit("guest", func(p *config.Plugin) { p.Reload = config.ReloadDrain }),
			why:   "it hangs together with plugin guest: reload: drain, in the new process"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := forwarding(t, config.Plugin{Module: built(t, "../../plugins/echo"), Isolation: config.IsolationLoop},
				func(cfg *config.Config) {
					if tc.chain {
						inChain(cfg)
					}
					if tc.tls != 0 {
						cfg.Listeners[0].Endpoint, cfg.Listeners[0].TLS = "tls://127.0.0.1:0",
							config.TLS{Cert: cert, Key: key}
					}
					unhurriedMove(cfg)
					if tc.here != nil {
						tc.here(cfg)
					}
				})
			v := &virtual{server: s}
			_, at, _ := strings.Cut(s.Listeners()[0].String(), "://")
			plain := dial(t, at)
			c, closeWrite := net.Conn(plain), plain.CloseWrite
			if tc.tls != 0 {
				secured := tls.Client(plain, &tls.Config{RootCAs: pool, ServerName: "localhost", MaxVersion: tc.tls})
				c, closeWrite = secured, secured.CloseWrite
			}
			to := s.cfg
			to.Plugins = map[string]config.Plugin{"guest": to.Plugins["guest"], "behind": to.Plugins["behind"]}
			if tc.there != nil {
				tc.there(&to)
			}
			streamThrough(t, c, closeWrite, func(n int) {
				if n != 1 {
					return
				}
				_, list, err := v.handOver(t, to, nil)
				front, back := departuresOf(list)
				if err != nil || front.Stay != 2 || back.Stay != 1 || front.Moved+back.Moved > 0 {
					t.Fatalf("%+v, %v", list, err)
				}
				found := false
				for _, d := range []Departure{front, back} {
					for why := range d.Kept {
						found = found || strings.Contains(why, tc.why)
					}
				}
				if !found {
					t.Errorf("found %+v, wanted %q", list, tc.why)
				}
			})
		})
	}
}

// TestHandoverLinkedFails: where the new process fails before anything is its own, and at a dry
// run, both ends go on.
func TestHandoverLinkedFails(t *testing.T) {
	s := forwarding(t, config.Plugin{Module: built(t, "../../plugins/echo"), Isolation: config.IsolationLoop},
		unhurriedMove)
	v := &virtual{server: s}
	c := dial(t, s.addrs[0])
	streamThrough(t, c, c.CloseWrite, func(n int) {
		if n == 0 {
			o, err := v.BeginHandover()
			if err != nil {
				t.Fatal(err)
			}
			list, err := o.Move(t.Context(), nil)
			front, back := departuresOf(list)
			if err = errors.Join(err, o.Abandon()); err != nil || front.Moved != 2 || back.Moved != 1 {
				t.Errorf("%+v, %v", list, err)
			}
			return
		}
		if _, _, err := v.handOver(t, s.cfg, func(h *heir) { h.lost = errors.New("it has ended") }); err == nil {
			t.Fatal("it was handed over")
		}
	})
}

// TestHandoverLinkedTLS: a client on TLS 1.3 goes with the connection inside the process by which
// its guest passes it on, and with all bytes, some of which are half a record.
func TestHandoverLinkedTLS(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	for _, chain := range []bool{false, true} {
		s := forwarding(t, config.Plugin{Module: built(t, "../../plugins/echo"), Isolation: config.IsolationLoop},
			func(cfg *config.Config) {
				cfg.Listeners[0].Endpoint = "tls://127.0.0.1:0"
				cfg.Listeners[0].TLS = config.TLS{Cert: cert, Key: key, HandshakeTimeout: time.Hour}
				if chain {
					inChain(cfg)
				}
				unhurriedMove(cfg)
			})
		v, cfg := &virtual{server: s}, s.cfg
		c := tls.Client(dial(t, s.addrs[0]), &tls.Config{RootCAs: pool, ServerName: "localhost"})
		streamThrough(t, c, c.CloseWrite, func(n int) {
			h, list, err := v.handOver(t, cfg, nil)
			front, back := departuresOf(list)
			if err != nil || front.Moved != 2 || back.Moved != 1 || front.Stay+back.Stay > 0 {
				t.Fatalf("handover %d: %+v, %v", n, list, err)
			}
			v = h.virtual
		})
	}
}
