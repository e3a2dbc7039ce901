package host

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// BenchmarkReload moves a thousand connections to another version. It reports
// how long the move took in all, without compiling, and how long a client of
// one more connection waited for an answer: before, and while reloads follow one
// another, twenty a second at most, compiling and all.
func BenchmarkReload(b *testing.B) {
	for _, guest := range []string{"testdata/counter.wasm", "../plugins/echo/echo.wasm"} {
		for _, isolation := range isolations {
			b.Run(guest[len(guest)-11:]+"/"+string(isolation), func(b *testing.B) {
				benchmarkReload(b, guest, isolation)
			})
		}
	}
}

func benchmarkReload(b *testing.B, guest string, isolation config.Isolation) {
	cfg := configuration(numbered(guest, isolation, 0))
	p := cfg.Plugins["guest"]
	p.Image, p.PageOut, p.GoJumps = true, time.Second, true
	cfg.Plugins["guest"] = p
	s := serve(b, cfg)
	for range 999 {
		c := dial(b, s.addrs[0])
		send(b, c, "x")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
	}
	_, quiet, _ := echoClient(b, s.addrs[0])
	var moving time.Duration
	guestPlugin := s.plugins["guest"]
	n := 0
	var p99s, worsts []float64
	var pause time.Duration
	for b.Loop() {
		type answers struct{ p99, worst float64 }
		done := make(chan answers, 1)
		go func() {
			_, p99, worst := echoClient(b, s.addrs[0])
			done <- answers{p99, worst}
		}()
		for running := true; running; time.Sleep(pause) {
			n++
			next := time.Now().Add(time.Second / 20)
			p.Config = map[string]any{"n": n % 2}
			r, err := guestPlugin.plan(context.Background(),
				config.Config{Plugins: map[string]config.Plugin{"guest": p}}.WithDefaults().Plugins["guest"],
				config.Trust{}, false)
			if err != nil {
				b.Fatal(err)
			}
			began := time.Now()
			out, err := r.commit()
			moving += time.Since(began)
			if err != nil || out.Migrated < 900 {
				b.Fatalf("%+v, %v", out, err)
			}
			select {
			case a := <-done:
				p99s, worsts = append(p99s, a.p99), append(worsts, a.worst)
				running = false
			default:
			}
			pause = time.Until(next)
		}
	}
	slices.Sort(p99s)
	b.ReportMetric(float64(moving.Milliseconds())/float64(n), "ms-moving/reload")
	b.ReportMetric(quiet/1000, "quiet-p99-ms")
	b.ReportMetric(p99s[len(p99s)/2]/1000, "p99-ms")
	b.ReportMetric(slices.Max(worsts)/1000, "worst-ms")
	b.ReportMetric(float64(n)/float64(len(p99s)), "reloads/s")
}
