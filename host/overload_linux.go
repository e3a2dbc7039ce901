package host

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// memorySpare is what must be left of the memory limit, in bytes: one connection
// whose client does not read may take so much between two looks (the default of
// write_buffer.max), of a small limit more than a twentieth.
const memorySpare = 16 << 20

// limitEvery is how many looks at the process's use share one at its limit: a
// service manager may change it while the process runs.
const limitEvery = 10

// processUse looks at the process's resident memory against what it may have,
// most bytes where that is not 0, and at its descriptors as descriptors has it. One
// goroutine.
//
// Of images' pages it counts at most as many bytes as images tells.
func processUse(most uint64, descriptors func() use, images func() uint64) func() []use {
	limit := most
	looks := 0
	return func() []use {
		if most == 0 && looks%limitEvery == 0 {
			limit = availableMemory()
		}
		looks++
		return useOf(limit, descriptors(), images())
	}
}

func useOf(memory uint64, descriptors use, images uint64) []use {
	list := []use{descriptors}
	if rss := resident(images); rss > 0 {
		list = append(list, use{useOfMemory, rss, memory, min(memorySpare, memory/3)})
	}
	return list
}

// queuedPart is which part of the memory that the process may have all queued output
// may take: Go's heap is twice as large as what lives in it at times, and the rest
// is for guests.
const queuedPart = 4

// mostQueued is how many bytes all connections may have queued, where the process
// may have so many bytes; 0 = what the control group or the machine has. Here a limit
// of addresses counts as well: what is queued is touched.
func mostQueued(memory uint64) uint64 {
	if memory == 0 {
		memory = availableMemory()
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &lim) == nil && lim.Cur < memory {
		memory = lim.Cur
	}
	return memory / queuedPart
}

// resident is the process's resident memory in bytes, 0 where it can't be read. Pages of
// files in memory count once, which are images bytes: the system counts them for each
// instance that has one mapped.
func resident(images uint64) uint64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return residentOf(b, images)
}

// residentOf reads resident memory from what proc(5) calls status.
func residentOf(status []byte, images uint64) (n uint64) {
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || !bytes.HasPrefix(line, []byte("Rss")) {
			continue
		}
		kib, err := strconv.ParseUint(string(fields[1]), 10, 64)
		if err != nil {
			return 0
		}
		if size := kib << 10; string(fields[0]) == "RssShmem:" {
			n += min(size, images)
		} else {
			n += size
		}
	}
	return n
}

// availableMemory is what the process may use, in bytes: what its control group
// allows, or what the machine has; 0 where neither can be read. RLIMIT_AS is no
// such limit: it counts addresses, of which an instance reserves many that it
// never touches.
func availableMemory() uint64 {
	var info unix.Sysinfo_t
	machine := uint64(0)
	if err := unix.Sysinfo(&info); err == nil {
		machine = uint64(info.Totalram) * uint64(info.Unit)
	}
	if group := groupLimit(os.DirFS("/")); group > 0 && (machine == 0 || group < machine) {
		return group
	}
	return machine
}
