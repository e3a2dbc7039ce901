package host

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// processUse is the process's resident memory against what it may have, and its
// sockets against its descriptor limit.
func (h *Host) processUse() []use {
	var list []use
	if rss := resident(); rss > 0 {
		list = append(list, use{"memory", rss, h.memoryLimit})
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		list = append(list, use{"descriptors", uint64(h.reactor.Connections()), lim.Cur})
	}
	return list
}

// resident is the process's resident memory in bytes, 0 where it can't be read.
func resident() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// availableMemory is what the process may use, in bytes: what its control group
// allows, or what the machine has. 0 where neither can be read.
func availableMemory() uint64 {
	var info unix.Sysinfo_t
	machine := uint64(0)
	if err := unix.Sysinfo(&info); err == nil {
		machine = uint64(info.Totalram) * uint64(info.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64); err == nil && (machine == 0 || n < machine) {
			return n
		}
	}
	return machine
}
