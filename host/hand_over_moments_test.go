package host

import (
	"net"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
)

// handsWrongly is a server of a guest that hands the second connection over as the first says.
func handsWrongly(t *testing.T) (s *server, first, second net.Conn) {
	t.Helper()
	p := config.Plugin{Module: "testdata/hands_wrongly.wasm", Isolation: config.IsolationShared}
	p.Allow.HandOver = []string{"other", "guest", "nobody"}
	p.Allow.Connect = []string{"plugin://other"}
	cfg := configuration(p)
	cfg.Plugins["nobody"] = hostile("trap_in_start_factory") // does not run
	cfg.Plugins["other"] = config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationShared}
	s = serve(t, cfg)
	first = dial(t, s.addrs[0])
	send(t, first, "u") // so that it is the first
	if got := answer(t, first); got != int32(abi.ENOCONN) {
		t.Fatalf("of no connection: found %d, wanted %v", got, abi.ENOCONN)
	}
	second = dial(t, s.addrs[0])
	s.wantConnections(t, "guest", 2)
	return s, first, second
}

// TestHandOverMoments: each moment in which a guest can't hand a connection over has its own
// answer, and the connection is what it was before.
func TestHandOverMoments(t *testing.T) {
	for _, c := range []struct {
		name, what string
		want       []int32
	}{
		{"as it should be", "v", []int32{0}},
		{"a connection that there is not", "u", []int32{-1}},
		{"after loseConnection", "l", []int32{-1}},
		{"twice", "w", []int32{0, -1}},
		{"in connectionLost", "a", []int32{-1}},
		{"in the connectionLost of a hand-over", "h", []int32{0, -1}},
		{"with a producer", "p", []int32{-5}},
		{"in a TLS handshake", "t", []int32{0, -5}},
		{"an outgoing connection", "o", []int32{-7}},
		{"to itself", "g", []int32{0, 1002}},
		{"to nobody", "n", []int32{-7}},
		{"not allowed", "s", []int32{-4}},
		{"no name", "e", []int32{-4}},
		{"too much", "m", []int32{-3}},
		{"in buildProtocol", "b", []int32{-8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, first, second := handsWrongly(t)
			send(t, first, c.what)
			for n, want := range c.want {
				if got := answer(t, first); got != want {
					t.Errorf("answer %d: found %d, wanted %d", n, got, want)
				}
			}
			switch c.what {
			case "v", "w", "h": // the other has it, with its first bytes, and goes on
				expect(t, second, c.what+"\x00")
				send(t, second, "more")
				expect(t, second, "more")
			case "u", "n", "s", "e", "m", "b", "o":
				send(t, second, "it goes on")
				if got := answer(t, first); got != 1010 {
					t.Errorf("found %d, wanted that its bytes come to whom they came to", got)
				}
			}
		})
	}
}

// TestHandOverOutsideMemory: a name or bytes outside of memory are a trap, and hand nothing over.
func TestHandOverOutsideMemory(t *testing.T) {
	for what, of := range map[string]string{"x": "the bytes", "y": "the name"} {
		t.Run(of, func(t *testing.T) {
			s, first, second := handsWrongly(t)
			send(t, first, what)
			line := s.logs.await(t, trapNote, 1)
			for n := 2; line["plugin"] != "guest"; n++ { // nobody's
				line = s.logs.await(t, trapNote, n)
			}
			if line["export"] != "dataReceived" || line["cause"] != "host call violation" {
				t.Errorf("found %v", line)
			}
			expectReset(t, second)
			s.wantConnections(t, "other", 0)
		})
	}
}
