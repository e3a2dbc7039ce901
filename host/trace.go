package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/wirehost/wirehost/abi"
)

// A trace shows each callback and each host call of a plugin, or of one of its
// connections, as a log line, with what lies in the ranges that are named. It is
// for authors: it is not rate-limited, and it shows what connections carry.

// maxExcerpt is how much of a range a trace shows, in bytes.
const maxExcerpt = 64

// traced says whom a plugin's trace is about.
type traced struct {
	conn int32 // 0 = all connections, and what belongs to none
}

// Trace begins the trace of a plugin, or of one of its connections, in place of
// the one before, or ends it. It waits for a turn of each loop.
func (h *Host) Trace(plugin string, conn int32, on bool) error {
	p, err := h.plugin(plugin)
	if err != nil {
		return err
	}
	if on && conn != 0 && !p.connHandles.taken(conn) {
		return fmt.Errorf("connection %s/%d: %w", plugin, conn, ErrNoConnection)
	}
	var t *traced
	if on {
		t = &traced{conn}
	}
	p.trace.Store(t)
	p.mu.Lock()
	var slots []*slot
	for _, v := range p.listed() {
		slots = append(slots, v.slots...)
	}
	p.mu.Unlock()
	for _, s := range slots {
		err := onLoop(s.loop, func() {
			for i := range s.all {
				i.trace = t
			}
		})
		if err != nil {
			return ErrNotRunning
		}
	}
	p.log.Info("trace", "on", on, "conn", conn)
	return nil
}

// traceText says what is traced: nothing, PLUGIN, or a connection's PLUGIN/HANDLE.
func (p *plugin) traceText() string {
	switch t := p.trace.Load(); {
	case t == nil:
		return ""
	case t.conn == 0:
		return p.name
	default:
		return fmt.Sprintf("%s/%d", p.name, t.conn)
	}
}

// running is a callback that is being traced.
type running struct {
	export export
	began  time.Duration
	args   string
}

// beginTrace notes a callback, if the trace is about it.
func (i *instance) beginTrace(e export, handle int32) (r running, on bool) {
	if i.trace.conn != 0 && (i.trace.conn != handle || e == exDelayedCall) {
		return r, false
	}
	i.tracing = true
	args := i.params(e)
	if e == exDataReceived || e == exRestoreState {
		n := len(args)
		args[n-1] += i.excerpt(uint32(i.stack[n-2]), uint32(i.stack[n-1]))
	}
	return running{e, i.ver.plugin.host.now(), strings.Join(args, ", ")}, true
}

// params are a callback's parameters as text.
func (i *instance) params(e export) []string {
	for _, x := range abi.Exports() {
		if x.Name == exportNames[e] {
			return values(x.Params, i.stack[:])
		}
	}
	return nil
}

func (i *instance) endTrace(r running, err error) {
	i.tracing = false
	took := i.ver.plugin.host.now() - r.began
	result := ""
	for _, x := range abi.Exports() {
		if x.Name == exportNames[r.export] && err == nil && len(x.Results) > 0 {
			result = values(x.Results, i.stack[:])[0]
		}
	}
	if err != nil {
		result = "trap: " + string(causeOf(err))
	}
	i.traceLine("<-", r.export.String()+"("+r.args+")", result, took)
}

// tracedCall makes a host call and logs it. A call that traps is logged by the
// callback's line.
func (i *instance) tracedCall(im abi.Import, call hostCall, stack []uint64) {
	args := values(im.Params, stack)
	if len(im.Params) >= 3 && im.Module == abi.ModuleTransport && im.Name == "write" || im.Module == abi.ModuleLog {
		args[2] += i.excerpt(uint32(stack[1]), uint32(stack[2]))
	}
	if im.Module == abi.ModuleReactor && im.Name == "connect" {
		args[1] += i.excerpt(uint32(stack[0]), uint32(stack[1]))
	}
	i.guard.Check() // the line takes longer than most calls
	began := i.ver.plugin.host.now()
	call(i, stack)
	result := ""
	if len(im.Results) > 0 {
		result = values(im.Results, stack)[0]
		if s := abi.Status(int32(stack[0])); im.Results[0] == abi.I32 && s < 0 && im.Module != abi.ModuleWASI {
			result = s.String()
		}
	}
	i.traceLine("->", im.Key()+"("+strings.Join(args, ", ")+")", result, i.ver.plugin.host.now()-began)
}

// traceLine logs one call: <- into the guest, -> out of it.
func (i *instance) traceLine(way, call, result string, took time.Duration) {
	args := []any{"version", i.ver.name, "way", way, "call", call}
	if result != "" {
		args = append(args, "result", result)
	}
	i.ver.plugin.log.Info("abi", append(args, "took", took.String())...)
}

func values(types []abi.ValueType, stack []uint64) []string {
	var list []string
	for n, t := range types {
		switch t {
		case abi.I32:
			list = append(list, fmt.Sprint(api.DecodeI32(stack[n])))
		case abi.F64:
			list = append(list, fmt.Sprint(api.DecodeF64(stack[n])))
		default:
			ptr, size := abi.Unpack(stack[n])
			switch {
			case stack[n] == abi.Declined:
				list = append(list, "declined")
			case ptr == 0: // no range that a guest would name, but a number of WASI's
				list = append(list, fmt.Sprint(size))
			default:
				list = append(list, fmt.Sprintf("%#x+%d", ptr, size))
			}
		}
	}
	return list
}

// excerpt is the beginning of a range as a quoted text.
func (i *instance) excerpt(ptr, size uint32) string {
	b, ok := i.mem.Read(ptr, min(size, maxExcerpt))
	if !ok {
		return " (outside memory)"
	}
	more := ""
	if size > maxExcerpt {
		more = "…"
	}
	return fmt.Sprintf(" %q%s", slices.Clone(b), more)
}
