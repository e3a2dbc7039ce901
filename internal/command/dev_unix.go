//go:build unix

package command

import (
	"os/exec"
	"syscall"
)

// processGroup is a process with its children, and theirs.
type processGroup struct{ cmd *exec.Cmd }

// ownGroup has cmd run in a process group of its own: what it starts can be ended
// with it, and a Ctrl-C at the terminal is for us alone.
func ownGroup(cmd *exec.Cmd) processGroup {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return processGroup{cmd}
}

// end asks all of the group to end.
func (g processGroup) end() error { return syscall.Kill(-g.cmd.Process.Pid, syscall.SIGTERM) }

// kill ends what is left of the group.
func (g processGroup) kill() {
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL) // none may be left
}
