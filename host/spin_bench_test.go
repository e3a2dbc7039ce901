package host

import (
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// BenchmarkSpin is an echo on one of two loops, while on the other one a guest
// runs in an endless loop, again and again; and for comparison, while another
// program burns one processor. It reports the 50th and 99th percentile of the
// echo, and of the time that the collector takes to stop the world, and by how
// much the loop outlived its limit.
func BenchmarkSpin(b *testing.B) {
	b.Run("quiet", func(b *testing.B) { benchmarkSpin(b, false, false) })
	b.Run("native", func(b *testing.B) { benchmarkSpin(b, true, false) })
	b.Run("guest", func(b *testing.B) { benchmarkSpin(b, false, true) })
}

func benchmarkSpin(b *testing.B, native, guest bool) {
	cfg := configuration(config.Plugin{Module: "testdata/hostile/loop_forever.wasm", Isolation: config.IsolationShared})
	cfg = withEcho(cfg) // plugins are pinned in the order of their names: echo to the first loop, guest to the second
	echo := cfg.Plugins["echo"]
	echo.Isolation = config.IsolationShared
	cfg.Plugins["echo"] = echo
	s := serve(b, cfg)
	if native {
		burn := exec.Command("sh", "-c", "while :; do :; done")
		if err := burn.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() { burn.Process.Kill(); burn.Wait() }()
	}
	stop := make(chan struct{})
	ended := make(chan []time.Duration)
	if guest {
		go spin(s.addrs[0], stop, ended)
	}
	var p50s, p99s []float64
	before := stops()
	for b.Loop() {
		done := make(chan struct{})
		var p50, p99 float64
		go func() {
			p50, p99, _ = echoClient(b, s.addrs[1])
			close(done)
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			case <-time.After(10 * time.Millisecond):
				runtime.GC()
			}
		}
		p50s, p99s = append(p50s, p50), append(p99s, p99)
	}
	slices.Sort(p50s)
	slices.Sort(p99s)
	b.ReportMetric(p50s[len(p50s)/2], "echo-p50-µs")
	b.ReportMetric(p99s[len(p99s)/2], "echo-p99-µs")
	p50, p99, worst := since(before, stops())
	b.ReportMetric(p50*1e6, "stop-p50-µs")
	b.ReportMetric(p99*1e6, "stop-p99-µs")
	b.ReportMetric(worst*1e6, "stop-worst-µs")
	close(stop)
	if guest {
		loops := <-ended
		b.ReportMetric(quantile(loops, 0.5)/1000, "loop-p50-ms")
		b.ReportMetric(quantile(loops, 1)/1000, "loop-worst-ms")
	}
}

// spinClient is the variable that makes the test's program the client: in a
// process of its own, as clients are.
const spinClient = "WIREHOST_SPIN_CLIENT"

// echoClient runs a client of its own process for a second: the percentiles of
// its waits for an answer, and the longest, in µs.
func echoClient(b *testing.B, addr string) (p50, p99, worst float64) {
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), spinClient+"="+addr)
	out, err := client.Output()
	if err != nil {
		b.Error(err)
		return 0, 0, 0
	}
	if _, err := fmt.Sscan(string(out), &p50, &p99, &worst); err != nil {
		b.Errorf("%v: %q", err, out)
	}
	return p50, p99, worst
}

// echoFor echoes for a second, and prints what echoClient tells.
func echoFor(addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	one := make([]byte, 64)
	var waits []time.Duration
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		began := time.Now()
		if _, err := c.Write(one); err != nil {
			panic(err)
		}
		if _, err := io.ReadFull(c, one); err != nil {
			panic(err)
		}
		waits = append(waits, time.Since(began))
	}
	fmt.Println(quantile(waits, 0.5), quantile(waits, 0.99), quantile(waits, 1))
}

// spin has the guest loop until stop is closed, and tells how long each took.
func spin(addr string, stop <-chan struct{}, ended chan<- []time.Duration) {
	var took []time.Duration
	for {
		select {
		case <-stop:
			ended <- took
			return
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		began := time.Now()
		_, _ = c.Write([]byte("x"))
		_, _ = io.ReadAll(c) // the reset that ends it
		took = append(took, time.Since(began))
		c.Close()
	}
}

func quantile(list []time.Duration, q float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return float64(list[min(len(list)-1, int(q*float64(len(list))))].Nanoseconds()) / 1000
}

const stopsMetric = "/sched/pauses/stopping/gc:seconds"

func stops() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: stopsMetric}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: slices.Clone(h.Buckets)}
}

// since is the quantiles, in seconds, of what was counted between two readings.
func since(before, after *metrics.Float64Histogram) (p50, p99, worst float64) {
	total := uint64(0)
	for n := range after.Counts {
		total += after.Counts[n] - before.Counts[n]
	}
	seen := uint64(0)
	for n := range after.Counts {
		count := after.Counts[n] - before.Counts[n]
		if count == 0 {
			continue
		}
		upper := after.Buckets[n+1]
		if seen < total/2 {
			p50 = upper
		}
		if seen < total*99/100 {
			p99 = upper
		}
		worst = upper
		seen += count
	}
	return p50, p99, worst
}
