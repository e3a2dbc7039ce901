package host

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// datagrams is the guest of testdata/datagrams.wat behind a socket on loopback.
func datagrams(isolation config.Isolation) config.Config {
	cfg := configuration(config.Plugin{Module: "testdata/datagrams.wasm", Isolation: isolation})
	cfg.Listeners = []config.Listener{{Endpoint: "udp://127.0.0.1:0", Plugin: "guest"}}
	return cfg
}

// mailTo is a socket that is connected to a server's.
func mailTo(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	return patient(t, c, err)
}

// patient is a socket that was made, for the time of the test.
func patient[C net.Conn](t testing.TB, c C, err error) C {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// mail receives a datagram.
func mail(t testing.TB, c net.Conn) string {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// ask has the guest do something, and gives its answer.
func ask(t testing.TB, c net.Conn, what string) int32 {
	t.Helper()
	send(t, c, what)
	answer := mail(t, c)
	if len(answer) != 4 {
		t.Fatalf("%q: found the answer %q, wanted 4 bytes", what, answer)
	}
	return int32(binary.LittleEndian.Uint32([]byte(answer)))
}

// wantAnswer checks ask.
func wantAnswer(t testing.TB, c net.Conn, what string, want int32) {
	t.Helper()
	if got := ask(t, c, what); got != want {
		t.Errorf("%q: found %d, wanted %d", what, got, want)
	}
}

// said counts the lines with a text that the guests have logged.
func (s *server) said(text string) (n int) {
	for _, line := range s.logs.all("guest") {
		if line["text"] == text {
			n++
		}
	}
	return n
}

// awaitSaid waits until the guests have logged so many lines with a text.
func (s *server) awaitSaid(t testing.TB, text string, lines int) {
	t.Helper()
	for n := 1; s.said(text) < lines; n++ {
		s.logs.await(t, "guest", n)
	}
}

// TestDatagramPromises runs what a guest is promised of its sockets on each backend, and with
// instances that leave their memory between callbacks.
func TestDatagramPromises(t *testing.T) {
	for _, sys := range []string{"epoll", "portable", "paged"} {
		if sys == "epoll" && runtime.GOOS != "linux" {
			continue
		}
		on := func(t testing.TB, cfg config.Config) *server {
			t.Helper()
			if sys != "paged" {
				cfg.Reactor.Backend = sys
			}
			s := newServer(t, cfg)
			s.paging = s.paging || sys == "paged"
			s.start(t)
			return s
		}
		t.Run(sys, func(t *testing.T) {
			t.Run("echo", func(t *testing.T) { echoDatagrams(t, on) })
			t.Run("wrong records", func(t *testing.T) { wrongRecords(t, on) })
			t.Run("open", func(t *testing.T) { openDatagram(t, on) })
			t.Run("trap", func(t *testing.T) { trapKeepsSocket(t, on) })
			t.Run("reload", func(t *testing.T) { reloads(t, on) })
		})
	}
}

// serving serves a configuration.
type serving func(testing.TB, config.Config) *server

func echoDatagrams(t *testing.T, on serving) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := on(t, datagrams(isolation))
			c := mailTo(t, s.addrs[0])
			for _, text := range []string{"", "?", strings.Repeat("y", 1471), strings.Repeat("?", 60_000)} {
				send(t, c, text)
				if got := mail(t, c); got != text {
					t.Fatalf("found %d bytes, wanted %d", len(got), len(text))
				}
			}
			if got := ask(t, c, "h"); got < 1 {
				t.Errorf("found the handle %d", got)
			}
			wantAnswer(t, c, "b", 0)
			wantAnswer(t, c, "g", int32(len("udp://"+s.addrs[0])))
			wantAnswer(t, c, "G", 0)
			wantAnswer(t, c, "w", int32(abi.ENOCONN))
			want := len(s.ports[0].on.Sockets())
			s.awaitSaid(t, "start", want)
			if found := s.said("start"); found != want {
				t.Errorf("found %d startProtocols, wanted %d: a socket for each loop", found, want)
			}
		})
	}
}

// TestDatagramsEnd: at the server's end each socket is told, last.
func TestDatagramsEnd(t *testing.T) {
	s := serve(t, datagrams(config.IsolationLoop))
	s.awaitSaid(t, "start", 2)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.said("stop 5"); got != 2 {
		t.Errorf("found %d stopProtocols with the reason 5, wanted 2", got)
	}
}

// TestDatagramsOfUnixSockets: without an address there is no answer, but they come.
func TestDatagramsOfUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cfg := datagrams(config.IsolationLoop)
	cfg.Listeners[0].Endpoint = "unixgram://" + path
	s := serve(t, cfg)
	c, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, "l")
	s.awaitSaid(t, "stop 0", 1)
}

// wrongRecords are told by the result, and what lies outside memory by a trap.
func wrongRecords(t *testing.T, on serving) {
	s := on(t, datagrams(config.IsolationLoop))
	c := mailTo(t, s.addrs[0])
	for what, want := range map[string]abi.Status{
		"xf": abi.EINVAL, // a family that there is not
		"x6": abi.EINVAL, // the other family
		"xn": abi.EINVAL, // more records than the limit
		"xu": abi.EINVAL, // unaligned
		"x0": abi.EINVAL, // for the peer, which the socket has not
	} {
		wantAnswer(t, c, what, int32(want))
	}
	send(t, c, "xp") // past the memory
	line := s.logs.await(t, trapNote, 1)
	if line["export"] != "datagramsReceived" || line["cause"] != "host call violation" {
		t.Errorf("found %v", line)
	}
	send(t, c, "?") // the socket goes on in another instance
	if got := mail(t, c); got != "?" {
		t.Errorf("found %q", got)
	}
}

func TestOptionsAreNotAllowed(t *testing.T) {
	s := serve(t, datagrams(config.IsolationLoop))
	c := mailTo(t, s.addrs[0])
	for what, want := range map[string]abi.Status{
		"j239.1.2.3": abi.EPERM, "j127.0.0.1": abi.EINVAL, "jx": abi.EINVAL, "v239.1.2.3": abi.EPERM,
		"m31": abi.EPERM, "m30": abi.StatusOK, "m51": abi.EINVAL, "m40": abi.EINVAL, "m49": abi.StatusOK,
		"m19": abi.StatusOK, "m20": abi.StatusOK,
	} {
		wantAnswer(t, c, what, int32(want))
	}
}

// TestNoDatagrams: a listener for datagrams is refused where the plugin is for connections alone.
func TestNoDatagrams(t *testing.T) {
	cfg := datagrams(config.IsolationLoop)
	cfg.Plugins["guest"] = config.Plugin{Module: "testdata/echo.wasm"}
	s := newServer(t, cfg)
	err := s.Start(t.Context())
	const want = "listeners.0: listener udp://127.0.0.1:0: found no export datagramsReceived in the module of plugin " +
		"guest, wanted one, since datagrams come to it"
	if fmt.Sprint(err) != want {
		t.Errorf("found %v, wanted %s", err, want)
	}
}

// peerSocket is a socket on loopback that the guest may send to.
func peerSocket(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return patient(t, c, err)
}

func openDatagram(t *testing.T, on serving) {
	peer := peerSocket(t)
	cfg := datagrams(config.IsolationShared)
	p := cfg.Plugins["guest"]
	p.Allow.Connect = []string{"udp://" + peer.LocalAddr().String(), "udp://localhost:1"}
	p.Limits.Sockets = 1
	cfg.Plugins["guest"] = p
	s := on(t, cfg)
	ended := make(chan ConnEnd, 9)
	s.Observe(&Observer{Ended: func(e ConnEnd) { ended <- e }})
	c := mailTo(t, s.addrs[0])
	for what, want := range map[string]abi.Status{
		"o": abi.EINVAL, "otcp://127.0.0.1:1": abi.EINVAL, "ounixgram:///tmp/x": abi.EINVAL,
		"oudp://localhost:0": abi.EINVAL, "oudp://127.0.0.1:1": abi.EPERM, "oudp://127.0.0.1:0": abi.EPERM,
	} {
		wantAnswer(t, c, what, int32(want))
	}
	send(t, c, "oudp://"+peer.LocalAddr().String())
	if got := mail(t, c); len(got) != 4 || got[3] != 0 {
		t.Fatalf("found %q, wanted a handle", got)
	}
	s.awaitSaid(t, "start", 2)
	wantAnswer(t, c, "Thello", 1)
	b := make([]byte, 100)
	n, from, err := peer.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != "Thello" {
		t.Fatalf("found %q, %v", b[:n], err)
	}
	if _, err := peer.WriteToUDPAddrPort([]byte("world"), from); err != nil {
		t.Fatal(err)
	}
	if got := mail(t, c); got != "world" {
		t.Errorf("found %q", got)
	}
	if list, more := s.GuestSockets(0); len(list) > 0 || !more {
		t.Errorf("found the sockets %+v, more: %t, wanted none, and more", list, more)
	}
	list, _ := s.GuestSockets(10)
	if len(list) != 1 || list[0].Peer != "udp://"+peer.LocalAddr().String() || list[0].Datagrams.Sent != 1 ||
		list[0].Endpoint != "udp://"+from.String() || list[0].Version != s.plugins["guest"].current().name {
		t.Errorf("found the sockets %+v", list)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, c, "Tx", 1)
	s.awaitSaid(t, "refused", 1)
	wantAnswer(t, c, "oudp://localhost:1", int32(abi.E2BIG))
	send(t, c, "t") // what was opened ends with the instance
	s.logs.await(t, trapNote, 1)
	if e := <-ended; e.ID != list[0].ID || e.Peer != list[0].Peer || e.In != 5 || e.Out < 6 ||
		e.Reason != reactor.ProtocolFailed || e.Version != list[0].Version || e.Age <= 0 {
		t.Errorf("found the end %+v", e)
	}
	wantAnswer(t, c, "s", 1)
	if got := s.said("stop 8"); got != 0 {
		t.Errorf("found %d callbacks after the trap", got)
	}
}

// TestDatagramNotAllowed: a name may lead to an address that is not public.
func TestDatagramNotAllowed(t *testing.T) {
	cfg := datagrams(config.IsolationShared)
	p := cfg.Plugins["guest"]
	p.Allow.Connect = []string{"udp://localhost:1"}
	cfg.Plugins["guest"] = p
	s := serve(t, cfg)
	c := mailTo(t, s.addrs[0])
	if got := ask(t, c, "oudp://localhost:1"); got < 1 {
		t.Fatalf("found %d, wanted a handle", got)
	}
	s.awaitSaid(t, "stop ;", 1) // 11, behind 9
}

// TestAnswersAlone: from a configured socket a guest may send to whom it has heard from, and
// where allow.connect lets it.
func TestAnswersAlone(t *testing.T) {
	peer := peerSocket(t)
	at := netip.MustParseAddrPort(peer.LocalAddr().String())
	ip := at.Addr().As4()
	what := "S" + string(ip[:]) + string([]byte{byte(at.Port()), byte(at.Port() >> 8)})
	for _, endpoint := range []string{"udp://127.0.0.1:0", "udp://0.0.0.0:0"} {
		cfg := datagrams(config.IsolationShared)
		cfg.Listeners[0].Endpoint = endpoint
		s := serve(t, cfg)
		_, port, _ := net.SplitHostPort(s.addrs[0])
		to := "127.0.0.1:" + port
		c := mailTo(t, to)
		wantAnswer(t, c, what, 0)
		if _, err := peer.WriteTo([]byte("?"), c.RemoteAddr()); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, c, what, 1)
		if info := s.ListenerInfos()[0].Datagrams; info.Unsent != 1 {
			t.Errorf("found %+v", info)
		}
		if _, err := peer.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := datagrams(config.IsolationShared)
	p := cfg.Plugins["guest"]
	p.Allow.Connect = []string{"udp://127.0.0.1:*"}
	cfg.Plugins["guest"] = p
	s := serve(t, cfg)
	wantAnswer(t, mailTo(t, s.addrs[0]), what, 1)
}

// TestDatagramSocketIsClosed: by the guest, with either call, and not opened again.
func TestDatagramSocketIsClosed(t *testing.T) {
	for what, reason := range map[string]string{"l": "stop 0", "a": "stop 2"} {
		s := serve(t, datagrams(config.IsolationConnection))
		c := mailTo(t, s.addrs[0])
		send(t, c, what)
		s.awaitSaid(t, reason, 1)
	}
}

// trapKeepsSocket: a datagram that traps ends the instance alone.
func trapKeepsSocket(t *testing.T, on serving) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := on(t, datagrams(isolation))
			c := mailTo(t, s.addrs[0])
			first := ask(t, c, "h")
			for n := range 3 {
				send(t, c, "t")
				s.logs.await(t, trapNote, n+1)
				wantAnswer(t, c, "s", 1) // it waited for the next instance
			}
			if got := ask(t, c, "h"); got == first {
				t.Errorf("found the handle %d again", got)
			}
		})
	}
}

// reloaded reloads the guest.
func (s *server) reloaded(t testing.TB, cfg config.Config) Change {
	t.Helper()
	change, err := s.Reload(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// withConfig is a configuration whose guest has one of its own.
func withConfig(cfg config.Config, of any) config.Config {
	p := cfg.Plugins["guest"]
	p.Config = of
	cfg.Plugins = map[string]config.Plugin{"guest": p}
	return cfg
}

// reloads: sockets move with their handles and states, whatever the policy; where the
// state does not move, the old version is told that they end, and the new one that they begin.
func reloads(t *testing.T, on serving) {
	for _, isolation := range isolations {
		for _, policy := range []config.ReloadPolicy{config.ReloadMigrate, config.ReloadDrain, config.ReloadDrop} {
			for _, declines := range []bool{false, true} {
				name := fmt.Sprintf("%s/%s/%t", isolation, policy, declines)
				t.Run(name, func(t *testing.T) { reloadMovesSockets(t, on, isolation, policy, declines) })
			}
		}
	}
}

func reloadMovesSockets(t *testing.T, on serving, isolation config.Isolation, policy config.ReloadPolicy,
	declines bool) {
	cfg := datagrams(isolation)
	p := cfg.Plugins["guest"]
	p.Reload = policy
	p.MoveTime = patience
	cfg.Plugins["guest"] = p
	if declines {
		cfg = withConfig(cfg, map[string]any{"n": 0})
	}
	s := on(t, cfg)
	c := mailTo(t, s.addrs[0])
	wantAnswer(t, c, "s", 1)
	handle := ask(t, c, "h")
	sockets := len(s.ports[0].on.Sockets())
	s.awaitSaid(t, "start", sockets)
	next := map[string]any{}
	if declines {
		next["n"] = 1
	} else {
		cfg.Plugins["guest"] = func() config.Plugin { p := cfg.Plugins["guest"]; p.Limits.Timers = 7; return p }()
	}
	if policy == config.ReloadMigrate && !declines {
		s.reloaded(t, withConfig(cfg, nil))
		wantAnswer(t, c, "s", 3)
		if found := s.said("stop 6"); found != 0 {
			t.Errorf("found %d stopProtocols", found)
		}
	} else {
		s.reloaded(t, withConfig(cfg, next))
		wantAnswer(t, c, "s", 1)
		s.awaitSaid(t, "start", 2*sockets)
		if found := s.said("stop 6"); found != sockets {
			t.Errorf("found %d stopProtocols of the old version, wanted %d", found, sockets)
		}
	}
	if got := ask(t, c, "h"); got != handle {
		t.Errorf("found the handle %d, wanted %d", got, handle)
	}
}
