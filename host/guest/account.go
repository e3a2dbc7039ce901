package guest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/abi"
)

// Account is kept for all the guests of one name, whichever modules they run: what
// they may log and what the server logs of them, the handles of their connections and
// timers, and counts. Any goroutine.
type Account struct {
	name string
	log  hclog.Logger
	now  func() time.Duration

	budget        logBudget
	notes         notes
	conns, timers handles // of conns, listeners' too
	listening     listening
	links         atomic.Int32 // connections to other plugins
	metrics       metrics
	watching      sync.Mutex            // held while watch is replaced
	watch         atomic.Pointer[watch] // of new instances; nil = nothing

	traps          trapCounts
	growthsRefused atomic.Uint64
}

// NewAccount opens an account. Its lines, at most rate bytes a second of guests' own
// (0 = any number), go to log; now is the event loops' clock.
func NewAccount(name string, log hclog.Logger, rate int, now func() time.Duration) *Account {
	a := &Account{name: name, log: log, now: now}
	a.budget.rate = rate
	return a
}

// SetLogRate bounds what guests log from now on, in bytes a second; 0 = any number.
func (a *Account) SetLogRate(rate int) { a.budget.setRate(rate) }

// Counts are what an account has counted.
type Counts struct {
	Connections, Timers int               // live handles
	Listeners           int               // of guests'
	Links               int               // connections of its guests to other plugins
	Traps               map[string]uint64 // ever
	GrowthsRefused      uint64            // of linear memory, ever
	LogBytesCut         uint64            // ever
	MetricsRefused      uint64            // definitions of metrics, and values, ever
}

// Counts tells what was counted so far.
func (a *Account) Counts() Counts {
	listeners := a.listening.count()
	return Counts{
		Connections: max(0, a.conns.count()-listeners), Listeners: listeners, Timers: a.timers.count(),
		Links:          int(a.links.Load()),
		Traps:          a.traps.all(),
		GrowthsRefused: a.growthsRefused.Load(), LogBytesCut: a.budget.cutBytes(),
		MetricsRefused: a.metrics.refused.Load(),
	}
}

// takeLink counts one more connection to another plugin, unless that is past a limit; 0 = none.
func (a *Account) takeLink(limit int) bool {
	if n := a.links.Add(1); limit > 0 && int(n) > limit {
		a.links.Add(-1)
		return false
	}
	return true
}

// HasConnection tells whether a connection has that handle.
func (a *Account) HasConnection(handle int32) bool { return a.conns.taken(handle) }

// Handles are the last handles of connections and timers that were given.
func (a *Account) Handles() (conns, timers int32) { return a.conns.latest(), a.timers.latest() }

// GoOn has handles go on so far behind those of another process that the two don't meet
// while instances move, as long as that gives fewer than handleGap meanwhile.
func (a *Account) GoOn(conns, timers int32) {
	a.conns.goOn(behind(conns))
	a.timers.goOn(behind(timers))
}

// handleGap is how many handles stay the other process's.
const handleGap = 1 << 20

func behind(last int32) int32 {
	if last > abi.MaxHandle-handleGap { // the sequence begins again
		return handleGap
	}
	return last + handleGap
}

// SetTrace begins the trace of the connection of a handle, 0 for all, in place of the
// one before, or ends it. It holds for instances that are committed from then on; for
// others by Place.FollowWatch.
func (a *Account) SetTrace(handle int32, on bool) {
	a.rewatch(func(w *watch) { w.traced, w.conn, w.stream = on, handle, nil })
}

// Traced says what is traced: nothing, NAME, or a connection's NAME/HANDLE.
func (a *Account) Traced() string {
	switch w := a.watch.Load(); {
	case w == nil || !w.traced:
		return ""
	case w.conn == 0:
		return a.name
	default:
		return fmt.Sprintf("%s/%d", a.name, w.conn)
	}
}

// trapped counts and logs a trap: always its first line, at the rate of notes, and
// the stack as far as the account's log has room. What it says of the guest's
// functions is the guest's text.
func (a *Account) trapped(t *TrapError) {
	a.traps.add(t.Cause)
	now := a.now()
	ok, before := a.notes.take(now, trapNote)
	if !ok {
		return
	}
	args := []any{"version", t.Version, "export", t.Export, "cause", t.Cause, "err", CleanLine(t.Err)}
	switch {
	case t.Conn == 0:
	case t.of == "connection":
		args = append(args, "conn", t.Conn)
	default:
		args = append(args, t.of, t.Conn)
	}
	if stack := Clean(t.Stack()); stack != "" {
		if ok, cut := a.budget.take(now, lineOverhead+logged(stack)); ok {
			a.tellCut(cut)
			args = append(args, "stack", stack)
		}
	}
	a.log.Error(trapNote, append(args, before...)...)
}

// TellCut says what was cut from the log in a second that is over, where no line that
// went out has said it; at the end, all of that.
func (a *Account) TellCut(end bool) {
	now := a.now()
	a.tellCut(a.budget.untold(now, end))
	for message, lines := range a.notes.untold(now, end) {
		a.log.Warn("lines of a kind were cut: too many a second", "kind", message, "lines", lines)
	}
}

// tellCut says what was cut of the guests' own lines.
func (a *Account) tellCut(c cut) {
	if c.lines > 0 {
		a.log.Warn("guest log lines were cut: over limits.log_bytes", "lines", c.lines, "bytes", c.bytes)
	}
}

// Note logs a line that a guest, or its clients, can cause as often as they like: so
// many of one message a second, and the count of the others.
func (a *Account) Note(level hclog.Level, message string, args ...any) {
	if ok, before := a.notes.take(a.now(), message); ok {
		a.log.Log(level, message, append(args, before...)...)
	}
}

func (a *Account) warn(message string, args ...any) { a.Note(hclog.Warn, message, args...) }
