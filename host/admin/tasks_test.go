package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
	"github.com/google/pprof/profile"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
)

// full is a Host with as much as a page shows, of which every number is another at each look.
type full struct {
	*fake
	looks *atomic.Uint64
}

func (f full) Plugins() ([]host.PluginInfo, error) {
	n := f.looks.Add(1)
	var list []host.PluginInfo
	at := time.Unix(int64(n), 0)
	for i := range uint64(shownPlugins) {
		name := fmt.Sprintf("plugin-%d", i)
		p := host.PluginInfo{Name: name, State: "active", Active: name + "@aaaaaaaaaaaa", FailedAt: &at,
			Failure: strings.Repeat("found this, wanted that ", 16), Instances: int(n % 900), Memory: n << 20,
			Traps: map[string]uint64{"unreachable": n}, Connections: int(300 + (i+n)%32),
			Callbacks: host.CallbackStats{Counts: [7]uint64{n * 1000, n * i, n}, Sum: float64(n*i) / 100, Slow: n}}
		for v := range shownVersions {
			p.Versions = append(p.Versions, host.VersionInfo{Name: fmt.Sprintf("%s@%012d", name, n/5+uint64(v)),
				State: host.StateStandby, Since: at, Instances: int(n % 99), Connections: int(n%70) + v})
		}
		for m := range 40 {
			p.Metrics = append(p.Metrics, guest.Metric{Name: fmt.Sprintf("metric_%d_total", m), Kind: "counter",
				Value: float64(n)})
		}
		list = append(list, p)
	}
	return list, nil
}

func (f full) ListenerInfos() (list []host.ListenerInfo) {
	n := f.looks.Load()
	for i := range shownRows {
		list = append(list, host.ListenerInfo{Endpoint: fmt.Sprintf("tcp://127.0.0.1:%d", 7000+i), Plugin: "plugin-1",
			Connections: int(n % 1000), Accepted: n, Refused: n})
	}
	return list
}

func (f full) Certificates() (list []host.CertificateInfo) {
	for i := range shownRows {
		at := time.Unix(1_900_000_000, 0)
		list = append(list, host.CertificateInfo{Cert: fmt.Sprintf("/c%d.pem", i), Loaded: true, NotAfter: &at,
			Names: []string{fmt.Sprintf("%d.example", i)}})
	}
	return list
}

func (f full) History(name string) (list []Event, err error) {
	n := f.looks.Load()
	for i := range uint64(shownChanges) {
		list = append(list, Event{At: time.Unix(int64(n-i), 0), Outcome: "refused", By: "command, root", Version: name,
			Detail: strings.Repeat("found this, wanted that ", 16)})
	}
	return list, nil
}

func (f full) Profile(context.Context, string, time.Duration) (*profile.Profile, error) {
	stacks := map[string]int64{}
	for n := range 400 {
		stacks[fmt.Sprintf("main.main;net/http.serve%d;main.handle%d;fmt.Fprintf%d", n%10, n%100, n)] = 5
	}
	return called(stacks), nil
}

// traced is one event of Chromium's trace.
type traced struct {
	Name  string  `json:"name"`
	Phase string  `json:"ph"`
	PID   int     `json:"pid"`
	TID   int     `json:"tid"`
	At    float64 `json:"ts"`   // in µs
	Wall  float64 `json:"dur"`  // in µs
	CPU   float64 `json:"tdur"` // in µs
	Args  struct {
		Name string `json:"name"`
	} `json:"args"`
}

// trace has Chromium write down what it does on the page's own thread while do runs, and gives
// its tasks, the longest first.
func (b *browser) trace(t testing.TB, do func()) []traced {
	t.Helper()
	var mu sync.Mutex
	var events []traced
	over := make(chan struct{})
	err := chromedp.Listen(b.ctx, func(ev any) {
		switch ev := ev.(type) {
		case *tracing.EventDataCollected:
			mu.Lock()
			defer mu.Unlock()
			for _, text := range ev.Value {
				var e traced
				if json.Unmarshal(text, &e) == nil { // others have other kinds of numbers
					events = append(events, e)
				}
			}
		case *tracing.EventTracingComplete:
			close(over)
		}
	})
	_, more := chromedp.Call(b.ctx, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{
		IncludedCategories: []string{"devtools.timeline", "disabled-by-default-devtools.timeline"},
		ExcludedCategories: []string{"*"},
	}})
	if err != nil || more != nil {
		t.Fatal(err, more)
	}
	do()
	if _, err := chromedp.Call(b.ctx, tracing.End, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	<-over
	mu.Lock()
	defer mu.Unlock()
	pages := map[[2]int]bool{} // process and thread
	for _, e := range events {
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" {
			pages[[2]int{e.PID, e.TID}] = true
		}
	}
	tasks := slices.DeleteFunc(events, func(e traced) bool {
		return e.Phase != "X" || !strings.HasSuffix(e.Name, "RunTask") || !pages[[2]int{e.PID, e.TID}]
	})
	slices.SortFunc(tasks, func(a, b traced) int { return cmp.Compare(b.CPU, a.CPU) })
	return tasks
}

// BenchmarkPageTasks: the longest tasks of a page that is full, in processor time, from when it
// is opened, through 40 events, while it is scrolled through, and by what is asked of it. Each
// task is a piece of the script, or a frame: style, layout and paint.
func BenchmarkPageTasks(b *testing.B) {
	for b.Loop() {
		c := browse(b)
		host := full{newFake(), &atomic.Uint64{}}
		url := page(b, New(Options{Host: host, LogTail: func() []byte {
			return bytes.Repeat([]byte("2026-11-27T01:28:50Z [INFO] plugin=echo: a line as there are many\n"), 1000)
		}}))
		tasks := c.trace(b, func() {
			c.do(b, chromedp.Navigate(url), until(drawn))
			for n := host.looks.Load(); host.looks.Load() < n+40; {
				say[bool](b, c, `(scrollBy(0, 500), true)`)
				c.do(b, until(`performance.now() % 200 < 50`))
			}
			c.do(b, chromedp.Click("#peers button"), until(`document.querySelector("#peerlist td")`),
				chromedp.Click("#log button"), until(`document.querySelector("#log + pre").textContent.length > 60000`),
				chromedp.Click("#stacks button"),
				until(`document.querySelector("#stacks + pre").textContent.length > 999`),
				chromedp.Click("#profile button"), until(`document.querySelectorAll("#flame button").length >= 300`))
		})
		for _, q := range []int{0, 1, 10} {
			b.ReportMetric(tasks[q].CPU/1000, fmt.Sprintf("ms/task-%d", q+1))
		}
		b.ReportMetric(float64(len(tasks)), "tasks/op")
	}
}
