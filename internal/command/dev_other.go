//go:build !unix

package command

import "os/exec"

// processGroup is a process. Its children can't be ended with it here.
type processGroup struct{ cmd *exec.Cmd }

func ownGroup(cmd *exec.Cmd) processGroup { return processGroup{cmd} }

func (g processGroup) end() error { return g.cmd.Process.Kill() }

func (g processGroup) kill() {
	_ = g.cmd.Process.Kill() // it may have ended
}
