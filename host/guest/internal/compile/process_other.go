//go:build !linux

package compile

import "os/exec"

func runProcess(cmd *exec.Cmd) error { return cmd.Run() }
