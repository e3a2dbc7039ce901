package reactor

import "syscall"

func beforeBind(_ string, _ uintptr, o SocketOptions) error {
	if o.ReusePort {
		return ErrNotSupported
	}
	return nil
}

func closedFiles(string, SocketOptions) (done func()) { return func() {} }

func setReusePort(_ uintptr, on bool) error {
	if on {
		return ErrNotSupported
	}
	return nil
}

// setFile has nothing to set: a folder says here who may connect to what is in it.
func setFile(_ string, o SocketOptions) error { return o.Check() }

// Check says what is wrong with the options on this machine.
func (o SocketOptions) Check() error {
	if o.Owner != "" || o.Group != "" {
		return ErrNotSupported
	}
	return nil
}

func setBroadcast(fd uintptr, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, value)
}
