package reactortest

import (
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

// SysBackend is a Sys for SysSuite.
type SysBackend struct {
	New      func(*testing.T) reactor.Sys
	Networks []string // tcp, unix
	Files    bool     // Unix sockets are files
}

// sysRow is one thing that the loops rely on.
type sysRow struct {
	name string
	run  func(*sysRig)
}

var sysRows = []sysRow{
	{"bytes arrive and read ends with EAGAIN", testSysBytes},
	{"much goes through in order", testSysBulk},
	{"a peer that is not read is held back", testSysBackPressure},
	{"readiness is level-triggered", testSysLevel},
	{"events that are not wanted are not reported", testSysUnwanted},
	{"end of file stays behind unread bytes", testSysFin},
	{"the other side goes on after a FIN", testSysHalfClose},
	{"both sides shut is a hang-up", testSysHangup},
	{"shutdown waits for the bytes before it", testSysShutdownBehindBytes},
	{"what a closed socket has taken arrives", testSysCloseSends},
	{"a reset reaches the reader", testSysReset},
	{"a reset is reported though nothing is wanted", testSysResetUnasked},
	{"write to a reset peer fails", testSysWriteAfterReset},
	{"write after shutdown is EPIPE", testSysWriteAfterShutdown},
	{"writev takes pieces in order", testSysWritev},
	{"connect refused", testSysRefused},
	{"accept takes all that wait", testSysAcceptMany},
	{"AcceptAndClose", testSysAcceptAndClose},
	{"nothing is reported after Remove", testSysRemove},
	{"a token that is used again gets no stale event", testSysTokenAgain},
	{"closed descriptors are EBADF", testSysBadFD},
	{"Wait times out", testSysTimeout},
	{"Wake ends a Wait", testSysWake},
	{"addresses", testSysAddresses},
	{"socket options", testSysOptions},
	{"an address in use is an error", testSysInUse},
}

// SysSuite checks what the loops rely on in a Sys: readiness that is
// level-triggered, the order of bytes, ends and errors, and that nothing is
// reported for a socket after its removal. Both ends of each connection are
// sockets of the same Sys.
func SysSuite(t *testing.T, b SysBackend) {
	for _, network := range b.Networks {
		t.Run(network, func(t *testing.T) {
			for _, test := range sysRows {
				t.Run(test.name, func(t *testing.T) { test.run(newSysRig(t, b, network)) })
			}
			if network == "unix" && b.Files {
				t.Run("a stale socket file is replaced", func(t *testing.T) {
					testSysStaleFile(newSysRig(t, b, network))
				})
			}
		})
	}
}
