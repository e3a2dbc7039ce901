package host

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/reactor"
)

// What each byte of its first connection has the guest of testdata/obeys.wat do.
const (
	doStartTimer     = "t" // of a second
	doCancelTimer    = "x" // answers with the status, a digit of what it is below 0
	doPush           = "p" // registers a push producer
	doUnregister     = "u"
	doConnect        = "c" // to where nobody answers
	doConnectStatus  = "C" // the same, and answers with the status
	doLoseWrite      = "h"
	doLoseConnection = "l"
	doPause          = "z"
	doFlood          = "f" // writes 200 KiB
	doTellState      = "s"
)

// What it says by itself.
const (
	saysTimerDue      = "T"
	saysConnectFailed = "F"
	saysPeerClosed    = "E"
	saysResume        = "R" // to the producer
)

// obeying serves the guest of testdata/obeys.wat on a clock that the test turns.
func obeying(t *testing.T, isolation config.Isolation) (*virtual, config.Config) {
	t.Helper()
	p := config.Plugin{Module: "testdata/obeys.wasm", Isolation: isolation}
	p.Allow.Connect = []string{"tcp://127.0.0.1:9"}
	p.Limits.ConnectionsOut = 1
	cfg := configuration(p)
	v := serveVirtual(t, cfg)
	v.sys.Silence("tcp", "127.0.0.1:9")
	return v, cfg
}

// bits asks the guest for the connection's state.
func bits(t *testing.T, c net.Conn) byte {
	t.Helper()
	send(t, c, doTellState)
	b := []byte{0}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b[0]
}

// moveCase is what a connection is in the middle of when it moves.
type moveCase struct {
	name   string
	moved  int
	before func(t *testing.T, v *virtual, c net.Conn)
	after  func(t *testing.T, v *virtual, c net.Conn)
}

func moveCases() []moveCase {
	flood := strings.Repeat("\x00", 200<<10)
	return []moveCase{
		{"timer", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doStartTimer)
			bits(t, c)
			v.turn(t, 999*time.Millisecond)
		}, func(t *testing.T, v *virtual, c net.Conn) {
			if bits(t, c) != 0 {
				t.Error("the timer was due before its time")
			}
			v.turn(t, time.Millisecond)
			expect(t, c, saysTimerDue)
		}},
		{"cancelled timer", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doStartTimer)
			bits(t, c)
		}, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doCancelTimer+doCancelTimer)
			expect(t, c, "06")
			v.turn(t, time.Second)
			if got := bits(t, c); got != 0 {
				t.Errorf("got %q, wanted a state of 0: the timer was cancelled", got)
			}
		}},
		{"connecting", 2, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doConnect)
			bits(t, c)
		}, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doConnectStatus) // it counts still
			expect(t, c, "3")
			v.turn(t, 5*time.Second)
			expect(t, c, saysConnectFailed)
			send(t, c, doConnectStatus)
			expect(t, c, "0")
		}},
		{"paused", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doStartTimer+doTellState+doPause)
			expect(t, c, "\x00")
			send(t, c, doTellState)
		}, func(t *testing.T, v *virtual, c net.Conn) {
			v.turn(t, time.Second)
			expect(t, c, saysTimerDue+"\x00")
		}},
		{"half-closed by the peer", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doStartTimer)
			bits(t, c)
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			expect(t, c, saysPeerClosed)
		}, func(t *testing.T, v *virtual, c net.Conn) {
			v.turn(t, time.Second)
			expect(t, c, saysTimerDue)
		}},
		{"half-closed by us", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doTellState+doLoseWrite)
			expect(t, c, "\x00")
			if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
				t.Fatalf("%q, %v", b, err)
			}
		}, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doStartTimer) // it reads still
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			v.server.await(t, 0)
		}},
		{"closing", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doFlood+doLoseConnection)
			b := make([]byte, 1) // it has been done
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, v *virtual, c net.Conn) {
			if b, err := io.ReadAll(c); err != nil || len(b) != len(flood)-1 {
				t.Errorf("got %d bytes, %v", len(b), err)
			}
		}},
		{"producer, and queued output", 1, func(t *testing.T, v *virtual, c net.Conn) {
			send(t, c, doPush)
			if got := bits(t, c); got != byte(reactor.StateProducer) {
				t.Fatalf("state %d", got)
			}
			send(t, c, doFlood)
			b := make([]byte, 1)
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, v *virtual, c net.Conn) {
			b := make([]byte, len(flood))
			if _, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, []byte(flood[1:]+saysResume)) {
				t.Fatalf("%v, last %q, wanted all of it, and to be resumed by the new version", err, b[len(b)-1])
			}
			send(t, c, doUnregister)
			if got := bits(t, c); got != 0 {
				t.Errorf("state %d", got)
			}
		}},
	}
}

// TestMoves: whatever a connection is in the middle of goes on in the new version.
func TestMoves(t *testing.T) {
	for _, tc := range moveCases() {
		for _, isolation := range isolations {
			t.Run(tc.name+"/"+string(isolation), func(t *testing.T) {
				v, _ := obeying(t, isolation)
				c := v.dial(t)
				tc.before(t, v, c)
				out, err := v.ReloadPlugin(context.Background(), "guest", true)
				if err != nil || out.Migrated != tc.moved || len(out.Kept) > 0 || out.Dropped > 0 {
					t.Fatalf("%+v, %v", out, err)
				}
				tc.after(t, v, c)
				if traps := v.plugins["guest"].account.Counts().Traps; len(traps) > 0 {
					t.Error(traps)
				}
			})
		}
	}
}

// TestAliveWithoutCallbacks: what is alive must have its callback in the new
// version, which is refused else.
func TestAliveWithoutCallbacks(t *testing.T) {
	for _, tc := range []struct{ send, want string }{
		{doStartTimer, "timers are alive, and the new version has no delayedCall"},
		{doConnect, "a connection is being made, and the new version has no clientConnectionFailed"},
		{doPush, "a producer is registered, and the new version has no callbacks for it"},
	} {
		for _, isolation := range isolations {
			t.Run(tc.send+"/"+string(isolation), func(t *testing.T) {
				v, cfg := obeying(t, isolation)
				c := v.dial(t)
				send(t, c, tc.send)
				before := bits(t, c)
				active := v.plugins["guest"].current()
				p := cfg.Plugins["guest"]
				p.Module = "testdata/particular.wasm"
				cfg.Plugins["guest"] = p
				change, err := v.Reload(context.Background(), cfg)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("%+v, %v, wanted %q", change, err, tc.want)
				}
				if v.plugins["guest"].current() != active || bits(t, c) != before {
					t.Error("the version that was active is not")
				}
				if tc.send != doPush {
					return
				}
				send(t, c, doUnregister) // then there is nothing against it
				bits(t, c)
				change, err = v.Reload(context.Background(), cfg)
				if err != nil || change.Plugins[0].Migrated != 1 {
					t.Errorf("%+v, %v", change, err)
				}
			})
		}
	}
}

// TestWritesWhenRestored: what restoreState writes counts against the new
// version's limit, and is dropped on a connection that is closing.
func TestWritesWhenRestored(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := config.Plugin{Module: "testdata/writes_when_restored.wasm", Isolation: isolation}
			p.Limits.State = 1000
			cfg := configuration(p)
			v := serveVirtual(t, cfg)
			open, closing := v.dial(t), v.dial(t)
			send(t, closing, "x") // a byte makes it write 200 KiB, and close
			b := make([]byte, 1)  // it has been done
			if _, err := io.ReadFull(closing, b); err != nil {
				t.Fatal(err)
			}
			p.Limits.State = 2000
			cfg.Plugins["guest"] = p
			change, err := v.Reload(context.Background(), cfg)
			if err != nil || change.Plugins[0].Migrated != 2 {
				t.Fatalf("%+v, %v", change, err)
			}
			expect(t, open, strings.Repeat("\x00", 2000))
			if b, err := io.ReadAll(closing); err != nil || len(b) != 200<<10-1 {
				t.Errorf("got %d bytes, %v", len(b), err)
			}
		})
	}
}

// TestKeptOnce: a connection that stays is counted once.
func TestKeptOnce(t *testing.T) {
	p := config.Plugin{Module: "testdata/particular.wasm", Isolation: config.IsolationConnection}
	cfg := configuration(p)
	v := serveVirtual(t, cfg)
	const conns = 10
	for n := range conns {
		c := &counting{Conn: v.dial(t)}
		sent := 10 // then it declines to be saved
		if n >= conns-2 {
			sent = 1
		}
		if err := c.roundTrip(sent); err != nil {
			t.Fatal(err)
		}
	}
	p.Limits.Instances = 1
	cfg.Plugins["guest"] = p
	change, err := v.Reload(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	out, kept := change.Plugins[0], 0
	for _, n := range out.Kept {
		kept += n
	}
	if out.Migrated != 1 || kept != conns-1 {
		t.Errorf("%+v", out)
	}
}

// TestTimerOutlivesConnection: an instance of one connection ends with its last
// timer, and not before.
func TestTimerOutlivesConnection(t *testing.T) {
	v, _ := obeying(t, config.IsolationConnection)
	p, err := v.sys.Dial("tcp", v.Listeners()[0].String()[len("tcp://"):])
	if err != nil {
		t.Fatal(err)
	}
	send(t, p.Conn(), doStartTimer)
	bits(t, p.Conn())
	p.Reset()
	v.server.await(t, 0)
	for _, want := range []struct {
		turn      time.Duration
		instances int
	}{{999 * time.Millisecond, 1}, {time.Millisecond, 0}} {
		v.turn(t, want.turn)
		v.sys.Settle()
		info, err := v.Plugin("guest")
		if err != nil || info.Instances != want.instances || info.Timers != want.instances {
			t.Errorf("after %v: %d instances, %d timers, %v, wanted %d", want.turn, info.Instances, info.Timers, err,
				want.instances)
		}
	}
}

// TestWhyDrain: where state can't move at all, the connections drain, and the
// outcome says why.
func TestWhyDrain(t *testing.T) {
	for _, tc := range []struct{ old, new, why string }{
		{"testdata/echo.wasm", "testdata/counter.wasm", "the previous version has no saveState and restoreState"},
		{"testdata/counter.wasm", "testdata/echo.wasm", "the new version has no saveState and restoreState"},
	} {
		cfg := configuration(config.Plugin{Module: tc.old})
		v := serveVirtual(t, cfg)
		send(t, v.dial(t), "x")
		cfg.Plugins["guest"] = config.Plugin{Module: tc.new}
		change, err := v.Reload(context.Background(), cfg)
		if err != nil || change.Plugins[0].Policy != config.ReloadDrain || change.Plugins[0].Why != tc.why {
			t.Errorf("%+v, %v, wanted %q", change, err, tc.why)
		}
	}
}
