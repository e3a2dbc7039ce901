package operate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watchers counts the descriptors by which this process waits for the end of another.
func watchers(pid int) (n int) {
	files, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), fmt.Sprintf("\nPid:\t%d\n", pid)) {
			n++
		}
	}
	return n
}

// TestElderEndsSlowly: a process that is killed may listen for a while after its connection
// to the new one has ended. That one waits.
func TestElderEndsSlowly(t *testing.T) {
	socket, at := given(t, "tcp", "127.0.0.1:0")
	slow := exec.Command("cat") // it has what the process had
	slow.ExtraFiles = []*os.File{socket}
	stdin, err := slow.StdinPipe()
	do(t, err)
	do(t, slow.Start())
	t.Cleanup(func() { _ = slow.Process.Kill() }) // it has ended, or the test has failed
	do(t, socket.Close())
	e := newElder(t)
	t.Setenv(handoverVariable, fmt.Sprintf("%d,%d", e.fd, slow.Process.Pid))
	do(t, e.end())
	before := watchers(slow.Process.Pid)
	e.takenOver(echoes("tcp://"+at), func() error {
		var err error
		for late := time.Now().Add(patience); watchers(slow.Process.Pid) == before; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				err = errors.New("nobody waits for its end")
				break
			}
		}
		return errors.Join(err, stdin.Close(), slow.Wait())
	})
	do(t, answers("tcp", at))
}
