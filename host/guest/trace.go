package guest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// A trace shows each callback and each host call of an account's guests, or of one of
// their connections, as a log line, with what lies in the ranges that are named. It is
// for authors: it is not rate-limited, and it shows what connections carry.

// maxExcerpt is how much of a range a trace shows, in bytes.
const maxExcerpt = 64

// beginTrace notes a callback that is traced.
func beginTrace(i *Instance, r *running) {
	args := traceParams(i, r.export)
	if r.export == exDatagramsReceived {
		args[2] += excerpt(i, uint32(i.stack[1])+32, le32At(i, uint32(i.stack[1]))) // the first one's payload
	}
	if r.export == exDataReceived || r.export == exRestoreState {
		n := len(args)
		args[n-1] += excerpt(i, uint32(i.stack[n-2]), uint32(i.stack[n-1]))
	}
	r.traced, r.args, r.began = true, strings.Join(args, ", "), i.guest.clocks.Now()
}

// traceParams are a callback's parameters as text.
func traceParams(i *Instance, e export) []string {
	for _, x := range abi.Exports() {
		if x.Name == exportNames[e] {
			return values(x.Params, i.stack[:])
		}
	}
	return nil
}

func endTrace(i *Instance, r *running, err error) {
	took := i.guest.clocks.Now() - r.began
	result := ""
	for _, x := range abi.Exports() {
		if x.Name == exportNames[r.export] && err == nil && len(x.Results) > 0 {
			result = values(x.Results, i.stack[:])[0]
		}
	}
	if err != nil {
		result = "trap: " + string(causeOf(err))
	}
	traceLine(i, "<-", r.export.String()+"("+r.args+")", result, took)
}

// tracedCall makes a host call and logs it. A call that traps is logged by the
// callback's line.
func tracedCall(i *Instance, im abi.Import, call hostCall, stack []uint64) {
	args := values(im.Params, stack)
	switch im.Key() {
	case "transport.write", "transport.startTLSClient", "reactor.connectAs", "log.emit", "metrics.define":
		args[2] += excerpt(i, uint32(stack[1]), uint32(stack[2]))
	case "transport.handOver":
		args[2] += excerpt(i, uint32(stack[1]), uint32(stack[2]))
		args[4] += excerpt(i, uint32(stack[3]), uint32(stack[4]))
	case "reactor.connect", "reactor.listen", "datagram.open":
		args[1] += excerpt(i, uint32(stack[0]), uint32(stack[1]))
	case "datagram.join", "datagram.leave":
		args[2] += excerpt(i, uint32(stack[1]), uint32(stack[2]))
	case "datagram.send":
		args[2] += excerpt(i, uint32(stack[1])+32, le32At(i, uint32(stack[1])))
	}
	i.guard.Check() // the line takes longer than most calls
	began := i.guest.clocks.Now()
	call(i, stack)
	result := ""
	if len(im.Results) > 0 {
		result = values(im.Results, stack)[0]
		if s := abi.Status(int32(stack[0])); im.Results[0] == abi.I32 && s < 0 && im.Module != abi.ModuleWASI {
			result = s.String()
		}
	}
	traceLine(i, "->", im.Key()+"("+strings.Join(args, ", ")+")", result, i.guest.clocks.Now()-began)
}

// traceLine logs one call: <- into the guest, -> out of it.
func traceLine(i *Instance, way, call, result string, took time.Duration) {
	if w := i.watch; w != nil && w.stream != nil {
		line := i.guest.clocks.Wall().AppendFormat(nil, "15:04:05.000000 ")
		line = fmt.Appendf(line, "%s %s %s", i.guest.name, way, call)
		if result != "" {
			line = fmt.Appendf(line, " = %s", result)
		}
		w.stream.to(fmt.Appendf(line, " %v\n", took))
		return
	}
	args := []any{"version", i.guest.name, "way", way, "call", call}
	if result != "" {
		args = append(args, "result", result)
	}
	i.account.log.Info("abi", append(args, "took", took.String())...)
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

// le32At is a number of linear memory, or 0 outside of it.
func le32At(i *Instance, ptr uint32) uint32 {
	n, _ := i.mem.ReadUint32Le(ptr)
	return n
}

// excerpt is the beginning of a range as a quoted text.
func excerpt(i *Instance, ptr, size uint32) string {
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
