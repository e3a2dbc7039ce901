package reactor

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReceiveRuns: behind many datagrams that came in runs, a turn asks for fewer messages, as
// long as there are so many.
func TestReceiveRuns(t *testing.T) {
	const size, run, messages = 8, 64, mmsgBatch + 3*manyRuns
	s, err := newLinuxSys()
	if err != nil {
		t.Fatal(err)
	}
	ds := s.(DatagramSys)
	list, err := ds.BindDatagrams("udp", "127.0.0.1:0", 1, DatagramSocketOptions{Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fd := list[0]
	defer s.Close(fd)
	io, err := ds.NewDatagramIO()
	if err != nil {
		t.Fatal(err)
	}
	defer io.Close()
	c, err := net.Dial("udp", s.LocalAddr(fd).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var noRuns error
	if err := raw.Control(func(fd uintptr) {
		noRuns = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size)
	}); err != nil || noRuns != nil {
		t.Skip("the system has no runs: ", noRuns, err)
	}
	for range messages {
		if _, err := c.Write(make([]byte, run*size)); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []int{mmsgBatch, manyRuns, manyRuns, manyRuns} {
		got, err := io.Receive(fd, familyIPv4)
		if n == 0 && err == nil && len(got) != mmsgBatch*run {
			t.Skip("the system has cut them")
		}
		if err != nil || len(got) != want*run {
			t.Fatalf("found %d datagrams, %v, wanted %d", len(got), err, want*run)
		}
	}
}
