package reactor

import "golang.org/x/sys/unix"

// dropNew has a listening socket hear no SYN any more, while handshakes that have begun go
// on. A client whose SYN is dropped sends it again after a second.
func (s *linuxSys) dropNew(fd FD) error {
	const flags, syn, ack = 13, 0x02, 0x10 // RFC 9293, 3.1
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
	}
	return unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
