package compile

import (
	"os/exec"
	"runtime"
	"syscall"
)

// runProcess runs a command that ends with this process, also where that is
// killed. The signal for it comes at the end of the thread that has started the
// process, so that this one is kept until then.
func runProcess(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- cmd.Run()
	}()
	return <-done
}
