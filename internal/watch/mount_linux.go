package watch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// watchMounts tells w.mounts when the process's table of mounts changes, from a
// goroutine that ends with the watch. Where /proc is not there, nothing does.
func (w *Watcher) watchMounts() {
	// Not by package os: Go's own poller would take the news away.
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	end, ending, err := os.Pipe()
	if err != nil {
		_ = unix.Close(table) // it was only to be read
		return
	}
	w.looks.Go(func() {
		<-w.ending
		_ = ending.Close() // which ends poll
	})
	w.looks.Go(func() {
		defer unix.Close(table)
		defer end.Close()
		// A change of the table is an exceptional condition (proc(5), /proc/pid/mounts).
		fds := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(end.Fd()), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
				w.o.Logger.Warn("mounts over watched files are not noticed", "err", err)
				return
			}
			if fds[1].Revents != 0 {
				return
			}
			if fds[0].Revents&(unix.POLLPRI|unix.POLLERR) == 0 {
				continue
			}
			select {
			case w.mounts <- struct{}{}:
			case <-w.ended:
				return
			}
		}
	})
}
