package host

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// movingDatagrams are a server with datagram sockets, and a client that has sent one datagram.
func movingDatagrams(t *testing.T, cfg config.Config) (*virtual, net.Conn) {
	t.Helper()
	v := &virtual{server: serve(t, cfg)}
	c := mailTo(t, v.addrs[0])
	send(t, c, "?")
	mail(t, c)
	return v, c
}

// socketsOf is how many sockets a configured port has.
func (h *Host) socketsOf(n int) int { return len(h.ports[n].on.Sockets()) }

// sentMeanwhile sends datagrams while sockets are frozen, and returns what tells that all came back.
func sentMeanwhile(t *testing.T, c net.Conn) (send func(Handed) string, back func()) {
	sent := 0
	send = func(Handed) string {
		for range 3 {
			if _, err := c.Write([]byte("?!")); err != nil {
				t.Error(err)
			}
			sent++
		}
		return ""
	}
	back = func() {
		t.Helper()
		if sent == 0 {
			t.Fatal("nothing was offered")
		}
		for range sent {
			if got := mail(t, c); got != "?!" {
				t.Errorf("found %q", got)
			}
		}
	}
	return send, back
}

// TestHandoverDatagrams: sockets go to the new process with their handles and their state, and
// what has come meanwhile is told there.
func TestHandoverDatagrams(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := datagrams(isolation)
			v, c := movingDatagrams(t, cfg)
			handle, n := ask(t, c, "h"), v.socketsOf(0)
			seen := ask(t, c, "s")
			during, back := sentMeanwhile(t, c)
			h, list, err := v.handOver(t, cfg, func(h *heir) { h.refuse = during })
			if err != nil || len(list) != 1 || list[0].Sockets != n || list[0].Stay != 0 {
				t.Fatalf("%+v, %v, wanted %d sockets", list, err, n)
			}
			back()
			wantAnswer(t, c, "h", handle)
			if got := ask(t, c, "s"); got <= seen {
				t.Errorf("found %d datagrams seen, wanted more than %d", got, seen)
			}
			if v.said("stop 6")+h.said("start") != 0 || h.socketsOf(0) != n {
				t.Errorf("found sockets that have begun anew, or %d, wanted %d", h.socketsOf(0), n)
			}
			if err := h.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if got := h.said("stop 5"); got != n {
				t.Errorf("found %d sockets that were stopped, wanted %d", got, n)
			}
		})
	}
}

// TestHandoverLoneSockets: a socket whose state is declined moves all the same: it ends for the
// old instance, and begins for a new one.
func TestHandoverLoneSockets(t *testing.T) {
	cfg := datagrams(config.IsolationLoop)
	p := cfg.Plugins["guest"]
	p.Config = "it declines"
	cfg.Plugins["guest"] = p
	v, c := movingDatagrams(t, cfg)
	n := v.socketsOf(0)
	during, back := sentMeanwhile(t, c)
	h, list, err := v.handOver(t, cfg, func(h *heir) {
		h.refuse = func(one Handed) string {
			if one.Lone != nil {
				return during(one)
			}
			return ""
		}
	})
	if err != nil || list[0].Sockets != n {
		t.Fatalf("%+v, %v, wanted %d sockets", list, err, n)
	}
	back()
	if v.said("stop 6") != n || h.said("start") != n {
		t.Errorf("found %d ended and %d begun, wanted %d", v.said("stop 6"), h.said("start"), n)
	}
}

// TestHandoverOpenedSocket: so does a socket that the guest has opened.
func TestHandoverOpenedSocket(t *testing.T) {
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	cfg := datagrams(config.IsolationShared)
	p := cfg.Plugins["guest"]
	p.Allow.Connect = []string{"udp://127.0.0.1:*"}
	cfg.Plugins["guest"] = p
	v, c := movingDatagrams(t, cfg)
	if handle := ask(t, c, "oudp://"+peer.LocalAddr().String()); handle < 1 {
		t.Fatalf("found %d", handle)
	}
	wantAnswer(t, c, "Thello", 1)
	buf := make([]byte, 100)
	n, at, err := peer.ReadFrom(buf)
	if err != nil || !strings.HasSuffix(string(buf[:n]), "hello") {
		t.Fatalf("found %q, %v", buf[:max(0, n)], err)
	}
	h, list, err := v.handOver(t, cfg, nil)
	if err != nil || list[0].Sockets != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := peer.WriteTo([]byte("?"), at); err != nil { // who has another state answers it
		t.Fatal(err)
	}
	if n, from, err := peer.ReadFrom(buf); err != nil || string(buf[:n]) != "?" || from.String() != at.String() {
		t.Errorf("found %q from %v, %v, wanted it from %v", buf[:max(0, n)], from, err, at)
	}
	if h.said("start") != 0 {
		t.Error("a socket has begun anew")
	}
}

// TestHandoverDatagramsFails: whenever it fails, the old process goes on with its sockets, and
// has lost nothing.
func TestHandoverDatagramsFails(t *testing.T) {
	for name, edit := range map[string]func(*heir){
		"lost": func(h *heir) { h.lost = errors.New("it has ended") },
		"late": func(h *heir) { h.late = errors.New("it has ended") },
	} {
		for _, isolation := range isolations {
			t.Run(name+"/"+string(isolation), func(t *testing.T) {
				cfg := datagrams(isolation)
				v, c := movingDatagrams(t, cfg)
				handle := ask(t, c, "h")
				during, back := sentMeanwhile(t, c)
				_, _, err := v.handOver(t, cfg, func(h *heir) { edit(h); h.refuse = during })
				if err == nil {
					t.Fatal("it was handed over")
				}
				if name == "lost" {
					back() // all goes on
					wantAnswer(t, c, "h", handle)
					return
				}
				send(t, c, "?last") // what it had taken, it may have answered
				for got := mail(t, c); got != "?last"; got = mail(t, c) {
					if got != "?!" {
						t.Errorf("found %q", got)
					}
				}
			})
		}
	}
}

// TestHandoverUnwantedPort: a socket of an endpoint that the new configuration does not have
// ends, and its instance moves.
func TestHandoverUnwantedPort(t *testing.T) {
	cfg := datagrams(config.IsolationShared)
	v, c := movingDatagrams(t, cfg)
	to := cfg
	to.Listeners = nil
	_, list, err := v.handOver(t, to, func(h *heir) { h.unwanted = []string{cfg.Listeners[0].Endpoint} })
	if err != nil || list[0].Sockets != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	if v.said("stop 0") != 1 {
		t.Errorf("found %d sockets that have ended, wanted 1", v.said("stop 0"))
	}
	if _, err := c.Write([]byte("?")); err == nil {
		_, err = c.Read(make([]byte, 10))
		if err == nil {
			t.Error("somebody answers still")
		}
	}
}

// TestDryRunDatagrams: a dry run counts them, and changes nothing.
func TestDryRunDatagrams(t *testing.T) {
	for _, declines := range []bool{false, true} {
		cfg := datagrams(config.IsolationLoop)
		if declines {
			p := cfg.Plugins["guest"]
			p.Config = "it declines"
			cfg.Plugins["guest"] = p
		}
		v, c := movingDatagrams(t, cfg)
		handle := ask(t, c, "h")
		o, err := v.BeginHandover()
		if err != nil {
			t.Fatal(err)
		}
		list, err := o.Move(t.Context(), nil)
		if err = errors.Join(err, o.Abandon()); err != nil || list[0].Sockets != v.socketsOf(0) {
			t.Errorf("%+v, %v", list, err)
		}
		if lines := strings.Join(Upgraded{DryRun: true, Plugins: list}.Lines(), "\n"); !strings.Contains(lines,
			"plugin guest: datagram sockets that would move: 2") {
			t.Error(lines)
		}
		wantAnswer(t, c, "h", handle)
	}
}
