package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// moveFault is what goes wrong where the live state moves.
type moveFault struct {
	fault string
	sent  int    // bytes before the move, by which testdata/particular.wat knows what to do
	why   string // it stays; "" = its own version ends it
}

func moveFaults() []moveFault {
	return []moveFault{
		{"saveState declines", 10, "saveState declined"},
		{"saveState is outside memory", 11,
			"saveState: found a range at 0x7fffffff of 2 bytes, outside the memory of 524288 bytes"},
		{"saveState is too large", 12, "saveState: found 65536 bytes, wanted at most limits.state, 1000"},
		{"saveState traps", 13, ""},
		{"saveState loops", 14, ""},
		{"restoreState refuses", 20, "restoreState refused (7)"},
		{"restoreState traps", 21, "trap"},
		{"restoreState loops", 22, "trap"},
	}
}

// TestFaultsAfterRehearsal: a fault that only shows when the live state moves, as
// it changed after the rehearsal. The connection stays where it is, or ends where
// its own version trapped, and the others don't notice. Bytes that restoreState
// writes go out with the move, or not at all.
func TestFaultsAfterRehearsal(t *testing.T) {
	for _, tc := range moveFaults() {
		for _, isolation := range isolations {
			t.Run(tc.fault+"/"+string(isolation), func(t *testing.T) {
				p := config.Plugin{Module: "testdata/particular.wasm", Isolation: isolation,
					Canary: config.Canary{Connections: 1, For: time.Minute}}
				p.Limits.State, p.Limits.CallbackTime = 1000, 2*time.Millisecond
				v := serveVirtual(t, configuration(p), steady)
				bad, good := &counting{Conn: v.dial(t)}, &counting{Conn: v.dial(t)}
				for _, c := range []*counting{bad, good} {
					if err := c.roundTrip(1); err != nil {
						t.Fatal(err)
					}
				}
				type result struct {
					out Outcome
					err error
				}
				done := make(chan result)
				go func() {
					out, err := v.ReloadPlugin(context.Background(), "guest", true)
					done <- result{out, err}
				}()
				v.logs.await(t, "canary", 1) // the rehearsal is over
				if err := bad.roundTrip(tc.sent - 1); err != nil {
					t.Fatal(err)
				}
				tries := &counting{Conn: v.dial(t)} // the canary
				if err := tries.roundTrip(3); err != nil {
					t.Fatal(err)
				}
				v.turn(t, time.Minute)
				r := <-done
				if r.err != nil {
					t.Fatal(r.err)
				}
				kept := 0
				for why, n := range r.out.Kept {
					if kept += n; !strings.Contains(why, tc.why) || tc.why == "" {
						t.Errorf("kept because of %q, wanted %q", why, tc.why)
					}
				}
				fresh := &counting{Conn: v.dial(t)}
				if err := fresh.roundTrip(3); err != nil {
					t.Error(err)
				}
				// What both connections must have become. In one instance they share
				// their luck.
				alone := isolation == config.IsolationConnection
				switch {
				case tc.why == "" && alone:
					expectEnd(t, bad)
					if r.out.Dropped != 1 || r.out.Migrated != 1 || kept != 0 {
						t.Errorf("%+v", r.out)
					}
					moved(t, good)
				case tc.why == "":
					expectEnd(t, bad)
					expectEnd(t, good)
					if r.out.Dropped != 2 || r.out.Migrated != 0 || kept != 0 {
						t.Errorf("%+v", r.out)
					}
				case alone:
					stayed(t, bad)
					moved(t, good)
					if r.out.Migrated != 1 || kept != 1 || r.out.Dropped != 0 {
						t.Errorf("%+v", r.out)
					}
				default:
					stayed(t, bad)
					stayed(t, good)
					if r.out.Migrated != 0 || kept != 2 || r.out.Dropped != 0 {
						t.Errorf("%+v", r.out)
					}
				}
			})
		}
	}
}

// moved: the next byte is the one that restoreState has written.
func moved(t *testing.T, c *counting) {
	t.Helper()
	b := []byte{0}
	if _, err := io.ReadFull(c, b); err != nil || b[0] != byte(c.n) {
		t.Fatalf("got %d, %v, wanted %d", b[0], err, c.n)
	}
	c.n++
	stayed(t, c)
}

// stayed: nothing came in between.
func stayed(t *testing.T, c *counting) {
	t.Helper()
	if err := c.roundTrip(5); err != nil {
		t.Error(err)
	}
}

// TestPeersDuringMigration: peers send, close and reset while connections move;
// what is left goes on, and nothing else is left.
func TestPeersDuringMigration(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(numbered("testdata/counter.wasm", isolation, 0)))
			stop := make(chan struct{})
			var wg sync.WaitGroup
			stays := &counting{Conn: dial(t, s.addrs[0])}
			for n := range 12 {
				wg.Go(func() {
					for k := 0; ; k++ {
						select {
						case <-stop:
							return
						default:
						}
						if err := visit(s.addrs[0], (n+k)%3); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 15 {
				if err := stays.roundTrip(7); err != nil {
					t.Fatal(err)
				}
				out, err := s.ReloadPlugin(context.Background(), "guest", true)
				if err != nil || len(out.Kept) > 0 || out.Dropped > 0 || out.Migrated < 1 {
					t.Fatalf("%+v, %v", out, err)
				}
			}
			close(stop)
			wg.Wait()
			s.await(t, 1)
			if err := stays.roundTrip(7); err != nil {
				t.Fatal(err)
			}
			if traps := s.plugins["guest"].account.Counts().Traps; len(traps) > 0 {
				t.Errorf("%v", traps)
			}
		})
	}
}

// visit is a connection that ends in one of three ways.
func visit(addr string, way int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c := &counting{Conn: conn}
	defer c.Close()
	if err := c.roundTrip(100); err != nil {
		return err
	}
	switch way {
	case 0: // sends, and resets before it has read the answer
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		_, err = conn.Write(make([]byte, 100))
	case 1: // closes its side, and must get what is due
		if _, err = conn.Write(make([]byte, 3)); err != nil {
			return err
		}
		if err = conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		b, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(b, []byte{100, 101, 102}) {
			return fmt.Errorf("got %v, %w", b, err)
		}
	case 2:
		err = c.roundTrip(1000)
	}
	return err
}

// TestUnfitModules: what can't be a new version says so, and nothing changes.
func TestUnfitModules(t *testing.T) {
	sound, err := os.ReadFile("testdata/counter.wasm")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "m.wasm")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(sound)
	p := numbered(file, config.IsolationLoop, 0)
	p.Limits.Memory = 1 << 20
	s := serve(t, configuration(p))
	c := &counting{Conn: dial(t, s.addrs[0])}
	before := s.plugins["guest"].current()
	replaced := func(part, by string) []byte {
		t.Helper()
		if bytes.Count(sound, []byte(part)) != 1 {
			t.Fatalf("%q is not once in the module", part)
		}
		return bytes.Replace(sound, []byte(part), []byte(by), 1)
	}
	var told *time.Time // when the last change failed
	var at time.Time
	for name, tc := range map[string]struct {
		module []byte
		want   string
	}{
		"another ABI": {replaced("abi_version_1", "abi_version_9"), "ABI version 9"},
		"no export": {replaced("dataReceived", "dataReceivex"),
			"export dataReceived: found none, wanted (i32, i32, i32)"},
		"no import":          {replaced("\x05write", "\x05wrong"), "transport.wrong"},
		"too much memory":    {replaced("\x05\x03\x01\x00\x08", "\x05\x03\x01\x00\x11"), "limits.memory"},
		"empty":              {nil, "found"},
		"half":               {sound[:len(sound)/2], "found"},
		"all but a byte":     {sound[:len(sound)-1], "found"},
		"more than a module": {append(bytes.Clone(sound), 0xff), "found"},
	} {
		write(tc.module)
		_, err := s.ReloadPlugin(context.Background(), "guest", false)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, wanted ...%s...", name, err, tc.want)
		}
		info, infoErr := s.Plugin("guest")
		if infoErr != nil || info.Failure == "" || len(info.Versions) != 1 || s.plugins["guest"].current() != before {
			t.Errorf("%s: %+v, %v", name, info, infoErr)
		}
		if told != nil && !told.Equal(at) {
			t.Errorf("%s: what was told of an earlier failure, that it was at %v, has become %v", name, at, told)
		}
		told, at = info.FailedAt, *info.FailedAt
		if err := c.roundTrip(3); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	write(sound)
	out, err := s.ReloadPlugin(context.Background(), "guest", false)
	if err != nil || !out.Unchanged {
		t.Errorf("%+v, %v", out, err)
	}
	if err := errors.Join(os.Remove(file), c.roundTrip(1)); err != nil {
		t.Error(err)
	}
}
