package admin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
)

// TestPageFiles: the page's files are all that there is under it, nothing is inline or from
// elsewhere, and the library is as it was published.
func TestPageFiles(t *testing.T) {
	s := NewMonitor(Options{Host: newFake()})
	for path, kind := range map[string]string{"/": "text/html", "/page/index.html": "text/html",
		"/page/page.css": "text/css", "/page/uPlot.min.css": "text/css", "/page/uPlot.iife.min.js": "text/javascript",
		"/page/page.js": "text/javascript", "/page/admin.js": "text/javascript", "/page/ask.js": "text/javascript",
		"/page/charts.js": "text/javascript", "/page/parts.js": "text/javascript", "/page/warm.js": "text/javascript",
		"/page/uPlot.LICENSE": "text/plain"} {
		r := ask(t, s, "GET "+path, "")
		if r.code != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), kind) ||
			r.header.Get("Content-Security-Policy") != pagePolicy ||
			r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: found %d %v", path, r.code, r.header)
		}
	}
	for _, path := range []string{"/page/", "/page/README.md", "/page/none.js", "/page/..%2fpage.go", "/page.js"} {
		if r := ask(t, s, "GET "+path, ""); r.code != 404 {
			t.Errorf("%s: found %d", path, r.code)
		}
	}
	if r := ask(t, s, "GET /", ""); !strings.Contains(r.body, `<link rel="icon" href="data:,">`) ||
		!strings.Contains(pagePolicy, "img-src data:;") {
		t.Error("a browser asks for /favicon.ico")
	}
	readme, err := pageFiles.ReadFile("page/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"uPlot.iife.min.js", "uPlot.min.css"} {
		text, err := pageFiles.ReadFile("page/" + name)
		if sum := sha256.Sum256(text); err != nil || !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s: found the SHA-256 %x (%v), wanted that of page/README.md", name, sum, err)
		}
	}
	script := `innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?:|cookie|localStorage`
	for name, never := range map[string]string{
		"index.html": `style=| on[a-z]+=|<script>|<style|https?:|//`, "page.css": `@import|url\(|https?:`,
		"page.js": script, "admin.js": script, "ask.js": script, "charts.js": script,
		"parts.js": script, "warm.js": script,
	} {
		text, err := pageFiles.ReadFile("page/" + name)
		if found := regexp.MustCompile(never).Find(text); err != nil || found != nil {
			t.Errorf("%s: found %q, %v", name, found, err)
		}
	}
}

// crowd is a Host of many plugins with long names, versions and texts.
type crowd struct{ *fake }

func (c crowd) Plugins() ([]host.PluginInfo, error) {
	var list []host.PluginInfo
	for n := range 1000 {
		p := host.PluginInfo{Name: fmt.Sprintf("%d%s", n, strings.Repeat("<\u2028", 5000)), State: "active",
			Connections: n,
			Failure:     strings.Repeat("\x00", 10_000), Traps: map[string]uint64{"unreachable": 4}}
		p.Active = p.Name + "@aaaaaaaaaaaa"
		for n := range 100 {
			p.Metrics = append(p.Metrics, guest.Metric{Name: fmt.Sprintf("%064d", n), Kind: "histogram",
				Value: -math.MaxFloat64, Counts: slices.Repeat([]uint64{math.MaxUint64}, len(guest.MetricBounds())+1)})
		}
		for range 100 {
			p.Versions = append(p.Versions, host.VersionInfo{Name: p.Active, State: host.StateStandby})
		}
		list = append(list, p)
	}
	return list, nil
}

func (c crowd) ListenerInfos() []host.ListenerInfo {
	list := make([]host.ListenerInfo, 1000)
	for n := range list {
		list[n].Endpoint, list[n].Plugin = strings.Repeat("é", 5000), strings.Repeat("é", 5000)
	}
	return list
}

func (c crowd) Certificates() []host.CertificateInfo {
	list := make([]host.CertificateInfo, 1000)
	for n := range list {
		list[n].Names, list[n].Err = strings.Split(strings.Repeat("a ", 1000), " "), strings.Repeat("\x00", 10_000)
	}
	return list
}

func (c crowd) History(string) ([]Event, error) {
	return []Event{{Outcome: "refused", Detail: strings.Repeat("\x00", 10_000), By: strings.Repeat("\x00", 10_000)}},
		nil
}

func (c crowd) Unready() string { return strings.Repeat("\x00", 100_000) }

// TestEventsAreBounded: whatever runs, and whatever it is named; the plugins with the most
// connections are there.
func TestEventsAreBounded(t *testing.T) {
	for _, s := range []*Server{New(Options{Host: crowd{newFake()}}), NewMonitor(Options{Host: crowd{newFake()}})} {
		text := s.sight()
		var v sight
		if err := json.Unmarshal(text, &v); err != nil || len(text) > maxEvent {
			t.Fatalf("found %d bytes, %v", len(text), err)
		}
		if len(v.Plugins) != shownPlugins || v.Rest != 1000-shownPlugins || v.Plugins[0].Connections != 999 ||
			len(v.Plugins[0].Versions) != shownVersions || len(v.Metrics) != shownMetrics ||
			v.Metrics[shownMetrics-1].Plugin != v.Plugins[shownPlugins-1].Name {
			t.Errorf("found %d plugins, %d left out, %d metrics", len(v.Plugins), v.Rest, len(v.Metrics))
		}
	}
}

// TestMonitorsPage: what clients and guests have written, users and paths are on the page of
// an administration, and not on that of a monitor.
func TestMonitorsPage(t *testing.T) {
	for _, monitor := range []bool{true, false} {
		s := New(Options{Host: newFake()})
		if monitor {
			s = NewMonitor(Options{Host: newFake()})
		}
		text := string(s.sight())
		for _, secret := range []string{"it was bad", "command, root", "/c.pem", "found no file"} {
			if strings.Contains(text, secret) == monitor {
				t.Errorf("monitor %v, %q: found\n%s", monitor, secret, text)
			}
		}
		for _, shown := range []string{"a.example", `"outcome":"active"`, "echo@000000000000"} {
			if !strings.Contains(text, shown) {
				t.Errorf("monitor %v: found no %q in\n%s", monitor, shown, text)
			}
		}
	}
}

// turned is a feed whose ticks the test makes, and what it looked at.
func turned() (f *feed, ticks chan time.Time, looks, stopped chan int) {
	ticks, looks, stopped = make(chan time.Time), make(chan int), make(chan int)
	n := 0
	f = newFeed(func() []byte {
		n++
		looks <- n
		return fmt.Append(nil, n)
	})
	f.tick = func() (<-chan time.Time, func()) { return ticks, func() { stopped <- n } }
	return f, ticks, looks, stopped
}

// TestFeedLooksOnce: once for all viewers, and only while there is one.
func TestFeedLooksOnce(t *testing.T) {
	f, ticks, looks, stopped := turned()
	a := f.join()
	<-looks
	if text := <-a.events; string(text) != "1" {
		t.Fatalf("found %s", text)
	}
	b := f.join()
	for n := 2; n < 5; n++ { // b takes none of them but the last
		ticks <- time.Time{}
		<-looks
		if text := <-a.events; string(text) != fmt.Sprint(n) {
			t.Fatalf("found %s, wanted %d", text, n)
		}
	}
	f.leave(a)
	if text := <-b.events; string(text) != "4" {
		t.Errorf("found %s, wanted what is newest", text)
	}
	f.leave(b)
	if n := <-stopped; n != 4 {
		t.Errorf("found %d looks", n)
	}
	c := f.join()
	<-looks
	<-c.events
	f.end()
	<-stopped
	<-c.over
	f.leave(c)
	if f.join() != nil {
		t.Error("found a viewer after the end")
	}
}

// TestFeedHasFewViewers: one more than there may be ends the oldest.
func TestFeedHasFewViewers(t *testing.T) {
	f, _, looks, stopped := turned()
	first := f.join()
	<-looks
	for range maxViewers {
		f.join()
	}
	<-first.over
	f.leave(first)
	if f.viewers.Len() != maxViewers {
		t.Errorf("found %d", f.viewers.Len())
	}
	f.end()
	<-stopped
}

// TestEvents: they come as server-sent events, to the page itself alone. Who is the ninth ends
// the oldest for good; where the server ends, they end with no word, and the page asks again.
func TestEvents(t *testing.T) {
	s := New(Options{Host: newFake()})
	if r := ask(t, s, "GET /page/events", "", "Sec-Fetch-Site: cross-site"); r.code != 403 {
		t.Errorf("found %d", r.code)
	}
	server := httptest.NewServer(s.http.Handler)
	defer server.Close()
	var viewers []*bufio.Scanner
	for range maxViewers + 1 {
		resp, err := server.Client().Get(server.URL + "/page/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxEvent+100)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `data: {"ready":true`) ||
			resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("found %.100s, %v", lines.Text(), lines.Err())
		}
		viewers = append(viewers, lines)
	}
	over := func(lines *bufio.Scanner) (found bool) {
		for lines.Scan() {
			found = found || lines.Text() == "event: over"
		}
		return found
	}
	if !over(viewers[0]) {
		t.Error("the oldest: found no word of the end")
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if over(viewers[1]) {
		t.Error("the server has ended: found a word that none is to ask again")
	}
}

// TestForwardedSocket: where a port of the machine is forwarded to the Unix socket, its own
// page may ask, and no other server's.
func TestForwardedSocket(t *testing.T) {
	s := New(Options{Host: newFake()})
	for _, tc := range []struct {
		what string
		code int
		with []string
	}{
		{"GET /v1/plugins", 200, []string{"Host: wirehost"}},
		{"GET /v1/plugins", 200, []string{"Host: localhost:8080", "Sec-Fetch-Site: same-origin"}},
		{"GET /", 200, []string{"Host: [::1]:8080", "Sec-Fetch-Site: none"}},
		{"POST /v1/plugins/echo/reload", 200, []string{"Host: 127.0.0.1:8080", "Origin: http://127.0.0.1:8080"}},
		{"GET /v1/plugins", 403, []string{"Host: evil.example:8080"}},
		{"GET /v1/plugins", 403, []string{"Host: 192.0.2.1"}},
		{"GET /", 403, []string{"Host: localhost:8080", "Sec-Fetch-Site: cross-site"}},
		{"GET /page/events", 403, []string{"Host: localhost:8080", "Sec-Fetch-Site: same-site"}},
		{"POST /v1/plugins/echo/reload", 403, []string{"Host: 127.0.0.1:8080", "Origin: http://127.0.0.1:9090"}},
		{"POST /v1/plugins/echo/reload", 403, []string{"Host: 127.0.0.1:8080", "Origin: null"}},
		{"DELETE /v1/plugins/echo", 403, []string{"Host: 127.0.0.1:8080", "Origin: http://evil.example"}},
	} {
		if r := ask(t, s, tc.what, "", tc.with...); r.code != tc.code {
			t.Errorf("%s %q: found %d %.200s, wanted %d", tc.what, tc.with, r.code, r.body, tc.code)
		}
	}
}

// TestPageAsksForTheToken: its files come without one, since a browser has none before; all
// that says something of the host does not.
func TestPageAsksForTheToken(t *testing.T) {
	s := New(Options{Host: newFake(), Authority: "127.0.0.1:1", Token: func() string { return "0123456789abcdef" }})
	for what, code := range map[string]int{"GET /": 200, "GET /page/page.js": 200, "GET /page/events": 401,
		"GET /page/../v1/plugins": 401, "POST /": 401, "GET /v1/plugins": 401, "GET /v1/log": 401} {
		if r := ask(t, s, what, "", "Host: 127.0.0.1:1"); r.code != code {
			t.Errorf("%s: found %d, wanted %d", what, r.code, code)
		}
	}
	for _, with := range []string{"Host: evil.example:1", "Sec-Fetch-Site: cross-site"} {
		if r := ask(t, s, "GET /", "", "Host: 127.0.0.1:1", with); r.code != 403 {
			t.Errorf("%s: found %d", with, r.code)
		}
	}
}

// called is a profile of functions that call each other, and how often each was seen.
func called(stacks map[string]int64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"},
		{Type: "time", Unit: "nanoseconds"}}}
	for stack, n := range stacks {
		s := &profile.Sample{Value: []int64{1, n}}
		for name := range strings.SplitSeq(stack, ";") {
			f := &profile.Function{Name: name}
			s.Location = append([]*profile.Location{{Line: []profile.Line{{Function: f}}}}, s.Location...)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// TestTree: a profile is folded by what called what, and bounded.
func TestTree(t *testing.T) {
	text, err := json.Marshal(treeOf(called(map[string]int64{"a;b": 5, "a;b;c": 2, "a;d": 9, "e": 1})))
	want := `{"unit":"nanoseconds","root":{"name":"all","self":0,"total":17,"children":[` +
		`{"name":"a","self":0,"total":16,"children":[{"name":"d","self":9,"total":9},` +
		`{"name":"b","self":5,"total":7,"children":[{"name":"c","self":2,"total":2}]}]},` +
		`{"name":"e","self":1,"total":1}]}}`
	if err != nil || string(text) != want {
		t.Errorf("found %v\n%s, wanted\n%s", err, text, want)
	}
	many := map[string]int64{strings.Repeat("deep;", 1000): 1}
	for n := range 5000 {
		many[fmt.Sprintf("f%d;g%s", n, strings.Repeat("x", 5000))] = int64(n)
	}
	text, err = json.Marshal(treeOf(called(many)))
	if err != nil || len(text) > maxFrames*(maxShown+100) || !strings.Contains(string(text), `"f4999"`) {
		t.Errorf("found %d bytes, %v", len(text), err)
	}
	if text, err = json.Marshal(treeOf(&profile.Profile{})); err != nil || len(text) > 100 {
		t.Errorf("found %s, %v", text, err)
	}
}

// TestLog: its last lines are shown as text, whoever has written them.
func TestLog(t *testing.T) {
	s := New(Options{Host: newFake(), LogTail: func() []byte { return []byte("<script>\n") }})
	r := ask(t, s, "GET /v1/log", "")
	if r.code != 200 || r.body != "<script>\n" || r.header.Get("Content-Type") != "text/plain; charset=utf-8" ||
		r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("found %d %v %s", r.code, r.header, r.body)
	}
	if r := ask(t, New(Options{Host: newFake()}), "GET /v1/log", ""); r.code != 200 || r.body != "" {
		t.Errorf("found %d %s", r.code, r.body)
	}
}
