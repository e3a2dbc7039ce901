package host

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// listensPlugin is a plugin that does what it is told of listening.
func listensPlugin(isolation config.Isolation) config.Plugin {
	p := config.Plugin{Module: "testdata/listens.wasm", Isolation: isolation}
	p.Allow.Listen = []string{"tcp://127.0.0.1:*"}
	p.Limits.CallbackTime = 10 * time.Second // what is tested here is no limit of time
	return p
}

// tell tells the guest something, and wants a number.
func tell(t testing.TB, c net.Conn, command string) int32 {
	t.Helper()
	send(t, c, command)
	return answer(t, c)
}

func letter(what string, n int32) string {
	return what + string(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

// hostOf asks for a listener's address, without its scheme.
func hostOf(t testing.TB, c net.Conn, listener int32) string {
	t.Helper()
	send(t, c, letter("h", listener))
	b := make([]byte, 128)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_, addr, ok := strings.Cut(string(b[:n]), "://")
	if !ok {
		t.Fatalf("found %q, wanted an endpoint", b[:n])
	}
	return addr
}

// listenAt has the guest of c listen, and tells where.
func listenAt(t testing.TB, c net.Conn, endpoint string) (listener int32, addr string) {
	t.Helper()
	if listener = tell(t, c, "l"+endpoint); listener < 1 {
		t.Fatalf("listen on %s returned %d", endpoint, listener)
	}
	return listener, hostOf(t, c, listener)
}

// TestListen: connections come to the instance that listens, whatever the isolation, and go
// on when it has stopped.
func TestListen(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(listensPlugin(isolation)))
			c := dial(t, s.addrs[0])
			tell(t, c, letter("m", 5))
			listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
			list, _ := s.GuestSockets(10)
			if len(list) != 1 || list[0].Endpoint != "tcp://"+addr || list[0].ID != fmt.Sprintf("guest/%d", listener) ||
				list[0].Version != s.plugins["guest"].current().name || list[0].Loop == nil {
				t.Errorf("found the listeners %+v", list)
			}
			if list, more := s.GuestSockets(0); len(list) > 0 || !more {
				t.Errorf("found %+v, more: %t, wanted none, and more", list, more)
			}
			var came []net.Conn
			for range 4 {
				in := dial(t, addr)
				if from, mark := tell(t, in, "f"), tell(t, in, "g"); from != listener || mark != 5 {
					t.Errorf("it came from listener %d, to the instance with mark %d, wanted %d and 5", from, mark,
						listener)
				}
				came = append(came, in)
			}
			q := ConnQuery{ConnFilter: ConnFilter{Listener: "tcp://" + addr}}
			list, _ = s.GuestSockets(10)
			if page, err := s.Connections(t.Context(), q); err != nil || len(page.Connections) != len(came) ||
				list[0].Connections != len(came) {
				t.Errorf("found %+v, %v, wanted %d connections", page, err, len(came))
			}
			if from := tell(t, c, "f"); from != 0 {
				t.Errorf("the first came from listener %d, wanted 0", from)
			}
			c.Close()
			s.await(t, len(came))
			if mark := tell(t, dial(t, addr), "g"); mark != 5 {
				t.Errorf("found mark %d: the instance has ended while it listens", mark)
			}
			if status := tell(t, came[0], letter("s", listener)); status != 0 {
				t.Errorf("stopListening returned %d", status)
			}
			if status := tell(t, came[0], letter("s", listener)); status != -1 {
				t.Errorf("stopListening again returned %d", status)
			}
			if status := tell(t, came[0], letter("h", listener)); status != -1 {
				t.Errorf("getHost of what is closed returned %d", status)
			}
			if mark := tell(t, came[1], "g"); mark != 5 {
				t.Errorf("found mark %d on a connection that goes on", mark)
			}
			awaitFree(t, addr)
		})
	}
}

// TestListenForOne: a listener that is for one connection alone is closed in that one's
// buildProtocol.
func TestListenForOne(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(listensPlugin(isolation)))
			c := dial(t, s.addrs[0])
			tell(t, c, letter("m", 55))
			listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
			in := dial(t, addr)
			if from, status := tell(t, in, "f"), tell(t, in, "b"); from != listener || status != 0 {
				t.Errorf("it came from listener %d, wanted %d; stopListening returned %d", from, listener, status)
			}
			awaitFree(t, addr)
			if status := tell(t, in, letter("s", listener)); status != -1 {
				t.Errorf("stopListening again returned %d", status)
			}
		})
	}
}

// TestStopListeningInStart: a start may close what it has made, and not what is to move to it.
func TestStopListeningInStart(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p, addr := listensInStart(t, isolation)
			p.Config = "xtcp://" + addr
			s := serve(t, configuration(p))
			c := dial(t, s.addrs[0])
			if status := tell(t, c, "o"); status != 0 {
				t.Errorf("stopListening in startFactory returned %d", status)
			}
			awaitFree(t, addr)
			if isolation == config.IsolationConnection {
				return // there a start does not know whose listeners are to move to it
			}
			listener := tell(t, c, "ltcp://"+addr)
			if _, err := s.ReloadPlugin(t.Context(), "guest", true); err != nil {
				t.Fatal(err)
			}
			in := dial(t, addr)
			if from, status := tell(t, in, "f"), tell(t, in, "o"); from != listener || status != -8 {
				t.Errorf("it came from listener %d, wanted %d; stopListening of what moves returned %d", from, listener,
					status)
			}
		})
	}
}

// awaitFree waits until nobody listens at an address.
func awaitFree(t testing.TB, addr string) {
	t.Helper()
	for late := time.Now().Add(patience); ; {
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			ln.Close()
			return
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
	}
}

// TestListenRefused: each reason has its own answer.
func TestListenRefused(t *testing.T) {
	p := listensPlugin(config.IsolationShared)
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p.Allow.Listen = append(p.Allow.Listen, "unix://"+dir+"/s", "tcp://192.0.2.1:*", "tcp://[::]:1")
	p.Limits.Listeners = 2
	s := serve(t, configuration(p))
	c := dial(t, s.addrs[0])
	for _, tc := range []struct {
		endpoint string
		want     int32 // 1 = a handle
	}{
		{"nonsense", -2},
		{"tcp://localhost:0", -2}, // a name
		{"tcp://192.0.2.1:0", -2}, // no address of this machine's
		{"tcp://127.0.0.2:0", -4},
		{"tcp://:0", -4},
		{"tcp://[::]:2", -4},
		{"unix://" + dir + "/other", -4},
		{"tls://127.0.0.1:0", -4},
		{"tcp://" + s.addrs[0], -5},
		{"unix://" + dir + "/s", 1},
		{"unix://" + dir + "/s", -5},
		{"tcp://127.0.0.1:0", 1},
		{"tcp://127.0.0.1:0", -3},
	} {
		if got := tell(t, c, "l"+tc.endpoint); tc.want == 1 && got < 1 || tc.want != 1 && got != tc.want {
			t.Errorf("listen on %s returned %d, wanted %d", tc.endpoint, got, tc.want)
		}
	}
	if status := tell(t, c, letter("s", 99)); status != -1 {
		t.Errorf("stopListening of nothing returned %d", status)
	}
	in, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if from := tell(t, in, "f"); from < 1 {
		t.Errorf("found listener %d", from)
	}
}

// TestListenAbstract: a name that is no file, which Linux has.
func TestListenAbstract(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no such names here")
	}
	name := fmt.Sprintf("@wirehost-%d-%s", os.Getpid(), t.Name())
	p := listensPlugin(config.IsolationShared)
	p.Allow.Listen = []string{"unix://" + name}
	s := serve(t, configuration(p))
	listener := tell(t, dial(t, s.addrs[0]), "lunix://"+name)
	in, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if from := tell(t, in, "f"); from != listener || from < 1 {
		t.Errorf("found listener %d, wanted %d", from, listener)
	}
}

// TestListenTLS: allow.tls has the certificate, of tls:// and of startTLS.
func TestListenTLS(t *testing.T) {
	cert, key, pool := certificate(t, time.Now().Add(time.Hour))
	p := listensPlugin(config.IsolationShared)
	p.Allow.Listen, p.Allow.TLS = []string{"tls://127.0.0.1:0"}, config.TLS{Cert: cert, Key: key}
	s := serve(t, configuration(p))
	c := dial(t, s.addrs[0])
	listener, addr := listenAt(t, c, "tls://127.0.0.1:0")
	in, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if from := tell(t, in, "f"); from != listener {
		t.Errorf("found listener %d, wanted %d", from, listener)
	}
}

// listensInStart is a plugin whose start listens, and where: the system gives nobody that port.
func listensInStart(t testing.TB, isolation config.Isolation) (p config.Plugin, addr string) {
	t.Helper()
	addr = "127.0.0.1:" + tooltest.FreePort(t)
	p = listensPlugin(isolation)
	p.Config = "tcp://" + addr
	return p, addr
}

// TestListenInStart: instances of a plugin have one address together, and nobody else can
// have it. It is closed with the plugin.
func TestListenInStart(t *testing.T) {
	p, addr := listensInStart(t, config.IsolationLoop)
	s := serve(t, configuration(p))
	for range 8 {
		if from := tell(t, dial(t, addr), "f"); from < 1 {
			t.Errorf("found listener %d", from)
		}
	}
	p.Allow.Listen = []string{"tcp://" + addr}
	other := config.Listener{Endpoint: "tcp://127.0.0.1:0"}
	if _, err := s.LoadPlugin(context.Background(), "other", p, other); err != nil {
		t.Fatal(err)
	}
	list := s.Listeners()
	if got := tell(t, dial(t, strings.TrimPrefix(list[1].String(), "tcp://")), "o"); got != -5 {
		t.Errorf("another plugin's listen there returned %d, wanted -5", got)
	}
	if _, err := s.UnloadPlugin(context.Background(), "guest"); err != nil {
		t.Fatal(err)
	}
	awaitFree(t, addr)
}

// TestListenTrap: what an instance listened on that traps is listened on again, with no
// connection to ask for it.
func TestListenTrap(t *testing.T) {
	p, addr := listensInStart(t, config.IsolationShared)
	s := serve(t, configuration(p))
	for range 2 {
		c := dial(t, addr)
		send(t, c, "t")
		expectReset(t, c)
		for late := time.Now().Add(patience); ; {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.SetDeadline(time.Now().Add(patience))
				_, err = fmt.Fprint(c, "f")
			}
			b := make([]byte, 4)
			if err == nil {
				_, err = io.ReadFull(c, b)
			}
			if c != nil {
				c.Close()
			}
			if err == nil {
				break
			}
			if time.Now().After(late) {
				t.Fatal(err)
			}
		}
	}
	if n := s.plugins["guest"].account.Counts().Listeners; n < 1 {
		t.Errorf("found %d listeners", n)
	}
}

// testListenersMove has listeners and their connections go to a new version in each way there
// is, and looks at what has become of them. move tells how many connections have moved.
func testListenersMove(t *testing.T, move func(t *testing.T, s *server, addr string, listener int32) int) {
	for _, isolation := range isolations {
		for _, tc := range []struct {
			name     string
			mark     int32 // what the guest's saveState goes by
			reload   config.ReloadPolicy
			stays    bool // the connections do
			restored int32
		}{
			{"with everything", 77, config.ReloadMigrate, false, 1},
			{"without a state", 5, config.ReloadMigrate, false, 0},
			{"its state is refused", 78, config.ReloadMigrate, false, 0},
			{"the connections stay", 99, config.ReloadMigrate, true, 0},
			{"drained", 5, config.ReloadDrain, true, 0},
		} {
			t.Run(string(isolation)+"/"+tc.name, func(t *testing.T) {
				p := listensPlugin(isolation)
				p.Reload, p.Drain = tc.reload, time.Hour
				cfg := configuration(p)
				cfg.Reactor.Loops = 1
				s := serve(t, cfg)
				c := dial(t, s.addrs[0])
				listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
				in := dial(t, addr)
				tell(t, in, "f")
				tell(t, c, letter("m", tc.mark))
				if moved := move(t, s, addr, listener); (moved == 0) != tc.stays {
					t.Fatalf("%d connections have moved", moved)
				}
				fresh := dial(t, addr)
				want := tc.mark
				if tc.stays {
					want = 0
				}
				if from, mark := tell(t, fresh, "f"), tell(t, fresh, "g"); from != listener || mark != want {
					t.Errorf("a new connection: from listener %d, at mark %d, wanted %d and %d", from, mark, listener,
						want)
				}
				if n := tell(t, fresh, "r"); n != tc.restored {
					t.Errorf("%d listeners were restored, wanted %d", n, tc.restored)
				}
				if from, mark := tell(t, in, "f"), tell(t, in, "g"); from != listener || mark != tc.mark {
					t.Errorf("one of before: from listener %d, at mark %d", from, mark)
				}
				if got := hostOf(t, fresh, listener); got != addr {
					t.Errorf("it is at %s, wanted %s", got, addr)
				}
				if status := tell(t, fresh, letter("s", listener)); status != 0 {
					t.Errorf("stopListening returned %d", status)
				}
				awaitFree(t, addr)
			})
		}
	}
}

// TestListenMoves: a reload gives listeners to the new version under their numbers, with
// their connections or without.
func TestListenMoves(t *testing.T) {
	testListenersMove(t, func(t *testing.T, s *server, _ string, _ int32) int {
		out, err := s.ReloadPlugin(t.Context(), "guest", true)
		if err != nil {
			t.Fatal(err)
		}
		return out.Migrated
	})
}

// TestListenMovesInStart: where a new version's start listens at the address of one that
// moves it gets that one, and no connection is refused meanwhile.
func TestListenMovesInStart(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			p, addr := listensInStart(t, isolation)
			s := serve(t, configuration(p))
			before := s.plugins["guest"].account.Counts().Listeners
			for range 3 {
				if _, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil {
					t.Fatal(err)
				}
				for range 4 {
					c := dial(t, addr)
					if from, own := tell(t, c, "f"), tell(t, c, "o"); from != own || own < 1 {
						t.Errorf("it came from listener %d, and the start has got %d", from, own)
					}
				}
			}
			for late := time.Now().Add(patience); ; {
				if n := s.plugins["guest"].account.Counts().Listeners; n == before {
					break
				} else if time.Now().After(late) {
					t.Fatalf("found %d listeners, wanted %d as before", n, before)
				}
			}
		})
	}
}

// TestListenIsolationChanges: listeners move whatever the isolation was, and is.
func TestListenIsolationChanges(t *testing.T) {
	for _, from := range isolations {
		for _, to := range isolations {
			if from == to {
				continue
			}
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				cfg := configuration(listensPlugin(from))
				s := serve(t, cfg)
				addrs := map[string]int32{}
				for range 4 { // on both loops
					c := dial(t, s.addrs[0])
					listener, addr := listenAt(t, c, "tcp://127.0.0.1:0")
					addrs[addr] = listener
				}
				cfg.Plugins = map[string]config.Plugin{"guest": listensPlugin(to)}
				if _, err := s.Reload(context.Background(), cfg); err != nil {
					t.Fatal(err)
				}
				for addr, listener := range addrs {
					if from := tell(t, dial(t, addr), "f"); from != listener {
						t.Errorf("it came from listener %d, wanted %d", from, listener)
					}
				}
			})
		}
	}
}

// TestListenTrapsBeforeCommit: what a new version's start was given, and whoever had it has
// trapped since, is the new version's, on whatever loop it was.
func TestListenTrapsBeforeCommit(t *testing.T) {
	next, addr := listensInStart(t, config.IsolationShared)
	s := serve(t, configuration(listensPlugin(config.IsolationLoop)))
	p := s.plugins["guest"]
	var other net.Conn // on a loop that is not that of isolation shared
	for other == nil {
		c := dial(t, s.addrs[0])
		tell(t, c, "g")
		page, err := s.Connections(t.Context(), ConnQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range page.Connections {
			if info.Loop != p.pinned && info.Peer == "tcp://"+c.LocalAddr().String() {
				other = c
			}
		}
	}
	if got := tell(t, other, "ltcp://"+addr); got < 1 {
		t.Fatalf("listen returned %d", got)
	}
	cfg := s.Config()
	cfg.Plugins = map[string]config.Plugin{"guest": next}
	cfg, err := complete(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	r, err := p.plan(t.Context(), cfg.Plugins["guest"], cfg.Trust, false)
	if err != nil {
		t.Fatal(err)
	}
	send(t, other, "t")
	expectReset(t, other)
	if _, err := r.commit(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr)
	if from, own := tell(t, c, "f"), tell(t, c, "o"); from != own || own < 1 {
		t.Errorf("it came from listener %d, and the start has got %d", from, own)
	}
}

// TestListenAgain: a replaced version that listens anew in each turn does not hold up the
// change, nor gets an instance for each time.
func TestListenAgain(t *testing.T) {
	p := hostile("listens_again")
	p.Isolation, p.Reload, p.Drain = config.IsolationConnection, config.ReloadDrain, time.Hour
	p.Allow.Listen = []string{"tcp://127.0.0.1:*"}
	p.Limits.Listeners, p.Limits.CallbackTime = 2, 10*time.Second
	s := serve(t, configuration(p))
	dial(t, s.addrs[0])
	g := s.plugins["guest"]
	for late := time.Now().Add(patience); g.account.Counts().Listeners == 0; {
		if time.Now().After(late) {
			t.Fatal("it does not listen")
		}
	}
	if _, err := s.ReloadPlugin(t.Context(), "guest", true); err != nil {
		t.Fatal(err)
	}
	if n := g.instances.Load(); n > 2 {
		t.Errorf("found %d instances, wanted the one of before and one for its listeners", n)
	}
}
