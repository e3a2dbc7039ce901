//go:build !linux

package admin

import "net"

// peerOf knows nothing of the process at the other end.
func peerOf(net.Conn) (uid, pid int, known bool) { return 0, 0, false }
