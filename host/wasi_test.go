package host

import (
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// Error numbers of WASI preview 1.
const (
	wasiBADF  = 8
	wasiINVAL = 28
	wasiNOSYS = 52
	wasiSPIPE = 70
)

// TestWASI: what ABI.md says of WASI preview 1. What waits longer, and
// proc_exit, are traps (TestTraps).
func TestWASI(t *testing.T) {
	s := newServer(t, configuration(config.Plugin{Module: "testdata/asks_wasi.wasm"}))
	s.o.Wall = func() time.Time { return time.Unix(2, 43) }
	s.start(t)
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	for _, q := range []struct {
		what string
		want int32
	}{
		{"args_get", 0}, {"args_sizes_get", 0}, {"the sizes", 0}, {"environ_sizes_get", 0},
		{"clock_time_get of the last clock", 0}, {"of one more", wasiINVAL}, {"of real time", 0},
		{"the time", 2e9 + 43},
		{"clock_res_get", 0}, {"of one clock too many", wasiINVAL},
		{"random_get of 64 KiB", 0}, {"of a byte more", wasiINVAL},
		{"fd_close of stdout", 0}, {"of a file", wasiBADF}, {"fd_seek in stderr", wasiSPIPE},
		{"fd_fdstat_get of stdout", 0}, {"its type, a character device", 2}, {"of stdin", wasiBADF},
		{"fd_prestat_get", wasiBADF}, {"fd_read", wasiBADF}, {"path_open", wasiBADF}, {"sock_accept", wasiBADF},
		{"proc_raise", wasiNOSYS}, {"sched_yield", 0},
		{"fd_write to a file", wasiBADF}, {"of 1025 pieces", wasiINVAL}, {"of 80000 bytes", 0},
		{"of which are taken", 64 << 10},
		{"poll_oneoff of nothing", wasiINVAL}, {"of 65", wasiINVAL},
		{"of a clock in 1 ms", 0}, {"events", 1},
		{"of a clock that is past", 0}, {"events", 1},
		{"of a clock in 1 s and a file", 0}, {"events", 1}, {"whose", 77}, {"its error", wasiBADF}, {"its type", 1},
	} {
		if got := answer(t, c); got != q.want {
			t.Errorf("%s: found %d, wanted %d", q.what, got, q.want)
		}
	}
}
