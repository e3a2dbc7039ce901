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
// how long the move took in all, without compiling, and how long a connection
// waited for an answer meanwhile.
func BenchmarkReload(b *testing.B) {
	for _, guest := range []string{"testdata/counter.wasm", "../plugins/echo/echo.wasm"} {
		for _, isolation := range isolations {
			if guest != "testdata/counter.wasm" && isolation == isolationConnection {
				continue // a thousand instances of a Go guest are over any limit of memory
			}
			b.Run(guest[len(guest)-11:]+"/"+isolation, func(b *testing.B) { benchmarkReload(b, guest, isolation) })
		}
	}
}

func benchmarkReload(b *testing.B, guest, isolation string) {
	cfg := configuration(numbered(guest, isolation, 0))
	p := cfg.Plugins["guest"]
	p.Limits.Instances = 3000
	cfg.Plugins["guest"] = p
	s := serve(b, cfg)
	for range 999 {
		c := dial(b, s.addrs[0])
		send(b, c, "x")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
	}
	probe := dial(b, s.addrs[0])
	waits, stop := make(chan []time.Duration), make(chan struct{})
	go func() {
		var list []time.Duration
		one := make([]byte, 1)
		for {
			select {
			case <-stop:
				waits <- list
				return
			default:
			}
			began := time.Now()
			_ = probe.SetDeadline(began.Add(patience))
			if _, err := probe.Write(one); err != nil {
				break
			}
			if _, err := io.ReadFull(probe, one); err != nil {
				break
			}
			list = append(list, time.Since(began))
		}
	}()
	var moving time.Duration
	guestPlugin := s.plugins["guest"]
	n := 0
	for b.Loop() {
		n++
		p.Config = map[string]any{"n": n % 2}
		r, err := guestPlugin.plan(context.Background(), withDefaults(config.Config{Plugins: map[string]config.Plugin{"guest": p}}).Plugins["guest"], false)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		out, err := r.commit()
		moving += time.Since(began)
		if err != nil || out.Migrated != 1000 {
			b.Fatalf("%+v, %v", out, err)
		}
	}
	close(stop)
	list := <-waits
	slices.Sort(list)
	b.ReportMetric(float64(moving.Milliseconds())/float64(n), "ms-moving/op")
	b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(list[len(list)-1].Microseconds())/1000, "worst-ms")
}
