package host

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// trap makes a guest trap once, with a connection of its own.
func (v *virtual) trap(t *testing.T) {
	t.Helper()
	c := v.dial(t)
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, c)
}

// TestLinesCost: a line without a byte costs as well, and a callback that does
// nothing but log ends in time. What was cut is told when the second is over, line
// or none.
func TestLinesCost(t *testing.T) {
	for _, name := range []string{"logs_newlines", "logs_nothing"} {
		t.Run(name, func(t *testing.T) {
			p := hostile(name)
			p.Limits.LogBytes = 10_000
			v := serveVirtual(t, configuration(p))
			v.trap(t)
			if line := v.logs.await(t, trapNote, 1); line["cause"] != "time" {
				t.Errorf("found %v", line)
			}
			if n := len(v.logs.all("guest")); n == 0 || n > 10_000/lineOverhead {
				t.Errorf("%d empty lines went out in a second, wanted those that take 10,000 bytes", n)
			}
			const cut = "guest log lines were cut: over limits.log_bytes"
			v.plugins["guest"].account.TellCut(false)
			if lines := v.logs.all(cut); len(lines) > 0 {
				t.Errorf("told in the same second: %v", lines)
			}
			v.turn(t, time.Second)
			v.plugins["guest"].account.TellCut(false)
			line := v.logs.await(t, cut, 1)
			if lines, size := line["lines"].(float64), line["bytes"].(float64); lines == 0 ||
				size < lines*lineOverhead {
				t.Errorf("%v lines of %v bytes were cut", lines, size)
			}
		})
	}
}

// TestTrapsAreTold: each trap is in the log, or the count of those that are not,
// though the plugin's budget is used up and one kind of line has a rate.
func TestTrapsAreTold(t *testing.T) {
	p := hostile("unreachable")
	p.Limits.LogBytes = 1
	v := serveVirtual(t, configuration(p))
	const traps = notesPerSecond + 5
	for range traps {
		v.trap(t)
	}
	if n := len(v.logs.all(trapNote)); n != notesPerSecond {
		t.Errorf("%d traps of a second are logged, wanted %d", n, notesPerSecond)
	}
	v.turn(t, time.Second)
	v.trap(t)
	if line := v.logs.await(t, trapNote, notesPerSecond+1); line["cut_before"] != 5.0 {
		t.Errorf("found %v, wanted that 5 were cut", line)
	}
	for range traps {
		v.trap(t)
	}
	v.turn(t, time.Second)
	v.plugins["guest"].account.TellCut(false)
	line := v.logs.await(t, "lines of a kind were cut: too many a second", 1)
	if line["kind"] != trapNote || line["lines"] != 6.0 {
		t.Errorf("found %v, wanted 6", line)
	}
}

// TestGrowthsRefused: a guest that asks for memory without end does not flood the
// log with the host's answers.
func TestGrowthsRefused(t *testing.T) {
	v := serveVirtual(t, configuration(hostile("memory_grow_without_end")))
	v.trap(t)
	if line := v.logs.await(t, trapNote, 1); line["cause"] != "time" {
		t.Errorf("found %v", line)
	}
	if n := len(v.logs.all(growthNote)); n != notesPerSecond {
		t.Errorf("%d refusals are logged, wanted %d", n, notesPerSecond)
	}
	if n := v.plugins["guest"].account.Counts().GrowthsRefused; n <= notesPerSecond {
		t.Errorf("%d growths were refused", n)
	}
}

// TestNoteAtTheEnd: what was cut last is told when the host ends.
func TestNoteAtTheEnd(t *testing.T) {
	v := serveVirtual(t, configuration(config.Plugin{Module: "testdata/echo.wasm"}))
	for range notesPerSecond + 1 {
		v.plugins["guest"].account.Note(hclog.Warn, moveNote)
	}
	if err := v.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := v.logs.await(t, "lines of a kind were cut: too many a second", 1); line["kind"] != moveNote ||
		line["lines"] != 1.0 {
		t.Errorf("found %v", line)
	}
}

// TestRefusalsAreCounted: of the connections that a guest refuses one a second is
// told, and the number of the others.
func TestRefusalsAreCounted(t *testing.T) {
	v := serveVirtual(t, configuration(hostile("refuses_connections")))
	for range 5 {
		expectEnd(t, v.dial(t))
	}
	if n := len(v.logs.all("connection refused")); n != 1 {
		t.Errorf("%d of 5 refusals are logged, wanted 1", n)
	}
	v.turn(t, time.Second)
	if line := v.logs.await(t, "more connections were refused", 1); line["count"] != 4.0 {
		t.Errorf("found %v, wanted 4", line)
	}
}

// TestReasons: why connections were kept is told by so many reasons, whatever
// numbers a guest makes of them.
func TestReasons(t *testing.T) {
	var o Outcome
	for n := range 100 {
		o.keep(1, fmt.Sprintf("restoreState refused (%d)", n))
	}
	if len(o.Kept) != maxReasons+1 || o.Kept["other reasons"] != 100-maxReasons {
		t.Errorf("found %v", o.Kept)
	}
}
