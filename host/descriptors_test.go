package host

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
)

// fewDescriptors is how many the process may have in TestGuestsLeaveDescriptors.
const fewDescriptors = 20

// TestGuestsLeaveDescriptors: guests get no socket from three quarters of the process's descriptors on,
// however many instances there are; who connects is served all the same.
func TestGuestsLeaveDescriptors(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	connect := config.Plugin{Module: "testdata/connect.wasm", Isolation: config.IsolationConnection}
	connect.Allow.Connect = []string{"tcp://127.0.0.1:*"}
	open := datagrams(config.IsolationShared)
	p := open.Plugins["guest"]
	p.Allow.Connect = []string{"udp://127.0.0.1:*"}
	open.Plugins["guest"] = p
	for _, c := range []struct {
		call, command string
		cfg           config.Config
		client        func(testing.TB, string) net.Conn
	}{
		{"listen", "ltcp://127.0.0.1:0", configuration(listensPlugin(config.IsolationConnection)), dialed},
		{"connect", "tcp://" + target.Addr().String(), configuration(connect), dialed},
		{"open", "oudp://127.0.0.1:0", open, func(t testing.TB, addr string) net.Conn { return mailTo(t, addr) }},
	} {
		t.Run(c.call, func(t *testing.T) {
			s := newServer(t, c.cfg)
			s.mayOpen = func() uint64 { return fewDescriptors }
			s.start(t)
			got := int32(1)
			for n := 0; got > 0 && n < fewDescriptors; n++ {
				got = askNumber(t, c.client(t, s.addrs[0]), c.command)
			}
			if n := s.reactor.Sockets(); got != int32(abi.E2BIG) || n < 15 || n > 16 { // with whoever has asked
				t.Fatalf("found %d at %d sockets, wanted %v at 15", got, n, abi.E2BIG)
			}
			if got := askNumber(t, c.client(t, s.addrs[0]), c.command); got != int32(abi.E2BIG) {
				t.Errorf("found %d, wanted %v", got, abi.E2BIG)
			}
			line := s.logs.await(t, "a guest gets no socket: the server has too many", 1)
			if line["plugin"] != "guest" || line["call"] != c.call || line["found"].(float64) < 15 ||
				line["wanted"] != "under 15, three quarters of the process's descriptors" {
				t.Errorf("found the line %v", line)
			}
		})
	}
}

func dialed(t testing.TB, addr string) net.Conn { return dial(t, addr) }

// askNumber sends a command, and wants a number, in a datagram or a stream.
func askNumber(t testing.TB, c net.Conn, command string) int32 {
	t.Helper()
	send(t, c, command)
	return answer(t, c)
}

// TestFewerSocketsAgain: a guest gets one when there are fewer.
func TestFewerSocketsAgain(t *testing.T) {
	s := newServer(t, configuration(listensPlugin(config.IsolationConnection)))
	s.mayOpen = func() uint64 { return 4 }
	s.start(t)
	c := dial(t, s.addrs[0])
	listener, _ := listenAt(t, c, "tcp://127.0.0.1:0")
	if got := tell(t, c, "ltcp://127.0.0.1:0"); got != int32(abi.E2BIG) {
		t.Fatalf("found %d, wanted %v", got, abi.E2BIG)
	}
	tell(t, c, letter("s", listener))
	for tell(t, c, "ltcp://127.0.0.1:0") < 1 { // it is closed soon
	}
}

// TestDescriptorsAreCounted: listeners and sockets for datagrams make an overload, too.
func TestDescriptorsAreCounted(t *testing.T) {
	cfg := datagrams(config.IsolationShared)
	cfg.Listeners = append(cfg.Listeners, config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "guest"})
	s := newServer(t, cfg)
	var limit atomic.Uint64
	s.mayOpen = limit.Load
	s.start(t)
	for n, over := range map[uint64]bool{0: false, 2: true, 100: false} {
		limit.Store(n)
		if u := s.descriptors(); u.used != 2 || u.part() >= u.least(false) != over {
			t.Errorf("found %+v of %d, an overload: %t, wanted two sockets, and %t", u, n, !over, over)
		}
	}
}
