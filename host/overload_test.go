package host

import (
	"net"
	"os"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestOverload: nothing is accepted past a threshold, and things go on some way
// below it.
func TestOverload(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	used := uint64(0)
	o := &overload{h: s.Host, measure: func() []use {
		return []use{{"memory", used, 100, 0}, {"descriptors", 10, 0, 0}}
	}}
	for _, c := range []struct {
		used uint64
		on   bool
	}{{10, false}, {94, false}, {95, true}, {90, true}, {85, true}, {84, false}, {94, false}, {200, true}, {0, false}} {
		used = c.used
		o.check()
		conn := dial(t, s.addrs[0])
		if c.on {
			expectEnd(t, conn)
		} else {
			send(t, conn, "hello")
			expect(t, conn, "hello")
		}
		if on, _ := s.Overload(); on != c.on {
			t.Errorf("at %d of 100: overload %v", c.used, on)
		}
		conn.Close()
	}
}

// TestUnreadyNamesWhatIsShort: who asks why it is not ready is told of what there is too little.
func TestUnreadyNamesWhatIsShort(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	for _, what := range []string{useOfMemory, useOfDescriptors} {
		o := &overload{h: s.Host, measure: func() []use { return []use{{what, 96, 100, 0}} }}
		o.check()
		if why, want := s.Unready(), "overloaded: short of "+what; why != want {
			t.Errorf("found %q, wanted %q", why, want)
		}
	}
}

func TestProcessUse(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	for _, u := range processUse(0, s.descriptors, s.sharedImages)() {
		if u.limit == 0 || u.part() > 1 {
			t.Errorf("%s: %d of %d", u.what, u.used, u.limit)
		}
	}
}

// TestNoMoreWhileShort: while the process is short of memory no instance starts; it does
// when that is over.
func TestNoMoreWhileShort(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationConnection}))
	used := uint64(100)
	o := &overload{h: s.Host, memory: newOwnMemory(s.Host), measure: func() []use {
		return []use{{useOfMemory, used, 100, 0}}
	}}
	o.check()
	s.reactor.Shed(false) // accepting is another matter
	expectEnd(t, dial(t, s.addrs[0]))
	used = 0
	o.check()
	echoes(t, s.addrs[0])
}

// TestLargestEnd: past the limit of memory the instances with the largest linear
// memories end, as many as it takes; where linear memories are not what takes the
// memory, none does.
func TestLargestEnd(t *testing.T) {
	if os.Getenv(allPaged) != "" {
		t.Skip("what has left its memory takes none of it")
	}
	cfg := configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationConnection})
	cfg.Reactor.Loops = 1
	s := serve(t, cfg)
	var conns []*net.TCPConn
	for range 4 {
		c := dial(t, s.addrs[0])
		send(t, c, "x")
		expect(t, c, "x")
		conns = append(conns, c)
	}
	used, limit := uint64(10<<20), uint64(10<<20)
	o := &overload{h: s.Host, memory: newOwnMemory(s.Host), measure: func() []use {
		return []use{{useOfMemory, used, limit, 0}}
	}}
	o.check()
	for _, c := range conns {
		send(t, c, "x")
		expect(t, c, "x")
	}
	// Four instances of 64 KiB, each half of the limit; they end until 85 % is left.
	used, limit = 128<<10+1, 128<<10
	o.check()
	ended := 0
	for _, c := range conns {
		if _, err := c.Write([]byte("x")); err == nil {
			_, err = c.Read(make([]byte, 1))
			if err == nil {
				continue
			}
		}
		ended++
	}
	if ended != 1 {
		t.Errorf("%d of 4 instances ended, wanted 1", ended)
	}
	s.logs.await(t, endedNote, 1)
	used = 0
	o.check()
	echoes(t, s.addrs[0])
}
