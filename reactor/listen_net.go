package reactor

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// listenNet listens through package net. A Unix path on which nobody listens
// any more, left behind by a process that was killed, is removed first; one in
// use is EADDRINUSE.
func listenNet(network, address string) (net.Listener, error) {
	if network == "unix" {
		removeStaleSocket(address)
	}
	lc := net.ListenConfig{KeepAlive: -1} // SetTCPKeepAlive turns it on
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), network, address)
}

func removeStaleSocket(path string) {
	st, err := os.Lstat(path)
	if err != nil || st.Mode()&os.ModeSocket == 0 {
		return
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
}
