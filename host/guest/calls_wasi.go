package guest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/wirehost/wirehost/abi"
)

// Error numbers of WASI preview 1.
const (
	wasiSuccess = 0
	wasiBADF    = 8
	wasiINVAL   = 28
	wasiNOSYS   = 52
	wasiSPIPE   = 70
)

// Clocks of WASI preview 1: real time, monotonic, and two of processor time,
// which answer as the monotonic one does: a guest is not told what its
// neighbours cost.
const (
	wasiRealtime = 0
	wasiClocks   = 4
)

// addWASI adds WASI preview 1: what language runtimes need to start, and for
// the rest an error, since standard libraries import more than they use.
func addWASI(calls map[string]hostCall) {
	for _, im := range abi.WASI() {
		errno := uint64(wasiNOSYS)
		if strings.HasPrefix(im.Name, "fd_") || strings.HasPrefix(im.Name, "path_") ||
			strings.HasPrefix(im.Name, "sock_") {
			errno = wasiBADF
		}
		calls[im.Key()] = func(_ *Instance, stack []uint64) { stack[0] = errno }
	}
	for name, call := range map[string]hostCall{
		"args_get":          wasiNothing,
		"args_sizes_get":    wasiNoSizes,
		"environ_get":       wasiNothing,
		"environ_sizes_get": wasiNoSizes,
		"clock_res_get":     wasiClockRes,
		"clock_time_get":    wasiClockTime,
		"fd_close":          wasiOnStream(wasiSuccess),
		"fd_seek":           wasiOnStream(wasiSPIPE),
		"fd_tell":           wasiOnStream(wasiSPIPE),
		"fd_fdstat_get":     wasiFdstat,
		"fd_write":          wasiWrite,
		"poll_oneoff":       wasiPoll,
		"proc_exit":         func(_ *Instance, stack []uint64) { panic(&exit{uint32(stack[0])}) },
		"random_get":        wasiRandom,
		"sched_yield":       wasiNothing,
	} {
		calls[abi.ModuleWASI+"."+name] = call
	}
}

func wasiNothing(_ *Instance, stack []uint64) { stack[0] = wasiSuccess }

func wasiNoSizes(i *Instance, stack []uint64) {
	clear(view(i, "args_sizes_get", uint32(stack[0]), 4))
	clear(view(i, "args_sizes_get", uint32(stack[1]), 4))
	stack[0] = wasiSuccess
}

func wasiClockRes(i *Instance, stack []uint64) {
	out := view(i, "clock_res_get", uint32(stack[1]), 8)
	if uint32(stack[0]) >= wasiClocks {
		stack[0] = wasiINVAL
		return
	}
	binary.LittleEndian.PutUint64(out, 1)
	stack[0] = wasiSuccess
}

func wasiClockTime(i *Instance, stack []uint64) {
	out := view(i, "clock_time_get", uint32(stack[2]), 8)
	if uint32(stack[0]) >= wasiClocks {
		stack[0] = wasiINVAL
		return
	}
	binary.LittleEndian.PutUint64(out, wasiClock(i, uint32(stack[0])))
	stack[0] = wasiSuccess
}

// wasiClock is the time on a clock, in ns.
func wasiClock(i *Instance, id uint32) uint64 {
	if id == wasiRealtime {
		return uint64(i.guest.clocks.Wall().UnixNano())
	}
	return uint64(i.guest.clocks.Now())
}

// wasiStream is the guest's stdout or stderr.
func wasiStream(i *Instance, fd uint64) *lineLog {
	switch uint32(fd) {
	case 1:
		return &i.stdout
	case 2:
		return &i.stderr
	}
	return nil
}

func wasiOnStream(errno uint64) hostCall {
	return func(i *Instance, stack []uint64) {
		if wasiStream(i, stack[0]) == nil {
			stack[0] = wasiBADF
			return
		}
		stack[0] = errno
	}
}

// wasiFdstat says that stdout and stderr are character devices that may be
// written to.
func wasiFdstat(i *Instance, stack []uint64) {
	out := view(i, "fd_fdstat_get", uint32(stack[1]), 24)
	if wasiStream(i, stack[0]) == nil {
		stack[0] = wasiBADF
		return
	}
	const characterDevice, rightWrite = 2, 1 << 6
	clear(out)
	out[0] = characterDevice
	binary.LittleEndian.PutUint64(out[8:], rightWrite)
	stack[0] = wasiSuccess
}

// maxStream is how many bytes one fd_write takes.
const maxStream = 64 << 10

func wasiWrite(i *Instance, stack []uint64) {
	const call = "fd_write"
	l := wasiStream(i, stack[0])
	n := uint32(stack[2])
	i.guard.Check()
	written := view(i, call, uint32(stack[3]), 4)
	if l == nil {
		stack[0] = wasiBADF
		return
	}
	if n > abi.MaxSequence {
		stack[0] = wasiINVAL
		return
	}
	total := 0
	for iov := view(i, call, uint32(stack[1]), 8*n); len(iov) > 0; iov = iov[8:] {
		p := view(i, call, le32(iov), le32(iov[4:]))
		p = p[:min(len(p), maxStream-total)] // a short write: the rest comes in another call, which is paid for
		l.write(i, p)
		total += len(p)
	}
	binary.LittleEndian.PutUint32(written, uint32(total))
	stack[0] = wasiSuccess
}

func wasiRandom(i *Instance, stack []uint64) {
	ptr, size := uint32(stack[0]), uint32(stack[1])
	stack[0] = wasiSuccess
	if !fillRandom(i, "random_get", ptr, size) {
		stack[0] = wasiINVAL
	}
}

// shortWait is the longest wait for a clock that does not trap, in nanoseconds.
const shortWait = uint64(time.Millisecond)

// wasiPoll answers subscriptions to files with BADF and to clocks that are due.
// A callback can't sleep: waiting for a clock is a trap. A wait of shortWait is
// over at once, since Go's runtime takes one before it writes what a panic says.
func wasiPoll(i *Instance, stack []uint64) {
	const (
		call         = "poll_oneoff"
		subscription = 48
		event        = 32
		absolute     = 1
		most         = 64
	)
	n := uint32(stack[2])
	if n == 0 || n > most {
		stack[0] = wasiINVAL
		return
	}
	i.guard.Check()
	in := view(i, call, uint32(stack[0]), n*subscription)
	out := view(i, call, uint32(stack[1]), n*event)
	count := view(i, call, uint32(stack[3]), 4)
	events := uint32(0)
	for ; len(in) > 0; in = in[subscription:] {
		e := out[events*event : (events+1)*event]
		kind := in[8]
		if kind == 0 {
			wait := binary.LittleEndian.Uint64(in[24:])
			if binary.LittleEndian.Uint16(in[40:])&absolute != 0 {
				wait -= min(wait, wasiClock(i, binary.LittleEndian.Uint32(in[16:])))
			}
			if wait > shortWait {
				continue
			}
		}
		clear(e)
		copy(e, in[:8])
		if kind != 0 {
			binary.LittleEndian.PutUint16(e[8:], wasiBADF)
		}
		e[10] = kind
		events++
	}
	if events == 0 {
		panic(&violation{call, fmt.Sprintf("found a wait for a clock among %d subscriptions: a callback can't sleep, "+
			"use callLater", n)})
	}
	binary.LittleEndian.PutUint32(count, events)
	stack[0] = wasiSuccess
}
