//go:build unix

package command

import (
	"os"
	"syscall"
)

// upgradeSignal asks for an upgrade of the program.
var upgradeSignal os.Signal = syscall.SIGUSR2
