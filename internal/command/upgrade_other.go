//go:build !unix

package command

import "os"

// upgradeSignal is none: this system has no upgrade.
var upgradeSignal os.Signal
