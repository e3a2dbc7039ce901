package compile

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// HasImages says that memory can be mapped from what an instance starts with.
const HasImages = true

// niceness is the priority of a compiler process: what serves goes first.
const niceness = 10

// limitProcess holds this process to so many bytes of writable memory beside
// those that it begins with, and gives it a low priority. RLIMIT_DATA counts what
// is mapped and may be written, so not what Go only reserves.
func limitProcess(memory int64) error {
	setMemory(memory)
	if memory > 0 {
		most := uint64(memory) + mapped()
		lim := unix.Rlimit{Cur: most, Max: most}
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &lim); err != nil {
			return os.NewSyscallError("setrlimit", err)
		}
	}
	// Where the control group is out of memory, it is this process that goes, and
	// not the server in the same group.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // always allowed upwards; /proc may be missing
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	tasks, err := os.ReadDir("/proc/self/task") // each thread has a priority of its own
	if err != nil {
		return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	}
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness) // it may have ended
		}
	}
	return nil
}

// limited tells whether this process, and so a compiler of its own, has limits of
// memory that are not ours.
func limited() bool {
	for _, resource := range []int{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		var lim unix.Rlimit
		if unix.Getrlimit(resource, &lim) == nil && lim.Cur != unix.RLIM_INFINITY {
			return true
		}
	}
	return false
}

// mapped is what this process has mapped and may write, in bytes: of a program
// that has done nothing yet some 80 MB, which are Go's and its threads' stacks.
func mapped() uint64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("\nVmData:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
