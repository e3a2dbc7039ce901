package admin

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/pprof/profile"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/tooltest"
)

type step = chromedp.Action[chromedp.Void]

// browser is a Chromium with one page, and what that complains of.
type browser struct {
	ctx context.Context
	mu  sync.Mutex
	bad []string
}

// browse starts Chromium.
func browse(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		tooltest.Missing(t, "found no chromium (apt install chromium)")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	b := &browser{}
	b.ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Error(err)
		}
		stop()
	})
	err = chromedp.Listen(b.ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.complain(ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if ev.Entry.Level == "error" && !strings.Contains(ev.Entry.Text, "401") {
				b.complain(ev.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(ev.Request.URL, "http://127.0.0.1:") && ev.Request.URL != "data:," {
				b.complain("it asked for " + ev.Request.URL)
			}
		}
	})
	if _, more := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); more != nil || err != nil {
		t.Fatal(err, more)
	}
	if _, err := chromedp.Call(b.ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, text)
}

// do does it, and shows what the page complained of.
func (b *browser) do(t testing.TB, actions ...step) {
	t.Helper()
	err := chromedp.Do(b.ctx, actions...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || len(b.bad) > 0 {
		t.Fatalf("found %v; the page: %q", err, b.bad)
	}
}

// until waits for an expression of the page to be true.
func until(expression string) step {
	return chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond))
}

// push presses a button by keyboard: a click goes to where the button was, and what is laid out
// as it comes into sight moves what is below.
func push(button string) step {
	return chromedp.Steps(chromedp.Focus(button), chromedp.KeyEvent(kb.Enter))
}

// looks is how the page is looked at.
func looks(width int64, scheme string) step {
	return chromedp.Steps(chromedp.EmulateViewport(width, 900), chromedp.Func(
		func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}))
}

// say is an expression's value.
func say[T any](t testing.TB, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(expression, err)
	}
	return v
}

// shoot keeps a picture below WIREHOST_SCREENSHOTS, where that is set.
func shoot(name string) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		dir := os.Getenv("WIREHOST_SCREENSHOTS")
		if dir == "" {
			return nil
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	})
}

// evil is a Host whose names and texts are markup.
type evil struct{ *fake }

const markup = `<img src=x onerror="document.title='evil'"><script>document.title='evil'</script>`

func (e evil) Plugins() ([]host.PluginInfo, error) {
	list, err := e.fake.Plugins()
	for n := range list {
		list[n].Failure = markup
	}
	other := host.PluginInfo{Name: markup, State: markup, Active: markup, Reason: markup, Versions: []host.VersionInfo{
		{Name: markup, State: host.State(markup)}}}
	return append(list, other), err
}

func (e evil) History(name string) ([]Event, error) {
	list, err := e.fake.History("echo")
	return append(list, Event{Outcome: markup, By: markup, Detail: markup, Version: markup}), err
}

func (e evil) Connections(_ context.Context, q host.ConnQuery) (host.ConnPage, error) {
	return host.ConnPage{Connections: []host.ConnInfo{{ID: "echo/1", Plugin: "echo", Peer: markup}}}, nil
}

func (e evil) Profile(context.Context, string, time.Duration) (*profile.Profile, error) {
	return called(map[string]int64{"main;" + markup: 5, "main;read;find": 3, "main;write": 2}), nil
}

func (e evil) Unready() string { return markup }

// page serves s, and has it tell viewers often.
func page(t testing.TB, s *Server) (url string) {
	t.Helper()
	s.feed.tick = func() (<-chan time.Time, func()) {
		tick := time.NewTicker(50 * time.Millisecond)
		return tick.C, tick.Stop
	}
	server := httptest.NewServer(s.http.Handler)
	t.Cleanup(func() {
		s.feed.end()
		server.Close()
	})
	return server.URL
}

// drawn: every chart is there, as wide as its place.
const drawn = `(() => {
	const all = [...document.querySelectorAll(".plot")];
	return all.length >= 6 && all.every((p) => p.querySelector("canvas") &&
		Math.abs(p.querySelector(".uplot").clientWidth - p.clientWidth) < 2);
})()`

// TestPage: a monitor's page in a browser, narrow and wide, dark and light. It fits, draws,
// asks nobody else, and complains of nothing.
func TestPage(t *testing.T) {
	b := browse(t)
	url := page(t, NewMonitor(Options{Host: newFake()}))
	b.do(t, chromedp.Navigate(url), until(drawn))
	for _, scheme := range []string{"dark", "light"} {
		for name, width := range map[string]int64{"narrow": 400, "wide": 1280} {
			b.do(t, looks(width, scheme), until(drawn),
				shoot("monitor-"+name+"-"+scheme))
			fits := say[bool](t, b, `document.documentElement.scrollWidth <= innerWidth`)
			hidden := say[bool](t, b, `document.getElementById("admin").hidden && !document.querySelector("td button")`)
			back := say[string](t, b, `getComputedStyle(document.body).backgroundColor`)
			text := say[string](t, b, `document.body.textContent`)
			if !fits || !hidden || (back == "rgb(255, 255, 255)") != (scheme == "light") {
				t.Errorf("%d, %s: fits %v, administration hidden %v, back %s", width, scheme, fits, hidden, back)
			}
			for _, want := range []string{"echo@aaaaaaaaaaaa", "a.example", "tcp://127.0.0.1:7", "unreachable"} {
				if strings.Contains(text, want) == (want == "unreachable") {
					t.Errorf("%q: found\n%s", want, text)
				}
			}
		}
	}
}

// TestPageTakesTextAsText: whatever guests, peers and files say.
func TestPageTakesTextAsText(t *testing.T) {
	b := browse(t)
	url := page(t, New(Options{Host: evil{newFake()}, LogTail: func() []byte { return []byte(markup) }}))
	b.do(t, looks(400, "light"), chromedp.Navigate(url), until(`!document.getElementById("admin").hidden`),
		push("#peers button"), until(`document.querySelector("#peerlist td")`),
		push("#log button"), until(`document.querySelector("#log + pre").textContent.includes("<script>")`),
		push("#stacks button"),
		until(`document.querySelector("#stacks + pre").textContent.includes("goroutine")`),
		push("#profile button"), until(`document.querySelectorAll("#flame button").length === 6`),
		chromedp.Focus("#flame button:nth-child(2)"), chromedp.KeyEvent(kb.Enter),
		until(`document.querySelectorAll("#flame button").length === 5`),
		until(`document.querySelector("#tables").textContent.includes("<script>")`),
		shoot("hostile"))
	images, title := say[int](t, b, `document.querySelectorAll("img, body script").length`),
		say[string](t, b, `document.title`)
	if images != 0 || title != "wirehost" {
		t.Errorf("found %d elements, and the title %q", images, title)
	}
	if !say[bool](t, b, `document.documentElement.scrollWidth <= innerWidth`) {
		t.Error("found a page that is wider than its window")
	}
}

// TestPageAdministers: with the token, by keyboard, and not before it was asked whether it is
// to be done.
func TestPageAdministers(t *testing.T) {
	f := newFake()
	b := browse(t)
	server := httptest.NewUnstartedServer(nil)
	s := New(Options{Host: f, Authority: server.Listener.Addr().String(), Token: func() string {
		return "0123456789abcdef"
	}})
	server.Config.Handler = s.http.Handler
	server.Start()
	t.Cleanup(func() {
		s.feed.end()
		server.Close()
	})
	active := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.active
	}
	b.do(t, looks(1280, "dark"), chromedp.Navigate(server.URL),
		until(`!document.getElementById("token").hidden`),
		chromedp.SendKeys("#secret", "wrong"+kb.Enter),
		until(`document.activeElement.id === "secret" && !document.activeElement.value`),
		chromedp.SendKeys("#secret", "0123456789abcdef"+kb.Enter), until(`!document.getElementById("admin").hidden`),
		until(`document.querySelector("td button")`), until(drawn), shoot("administration"))
	reload := `[aria-label="Reload echo"]`
	b.do(t, chromedp.Focus(reload), chromedp.KeyEvent(kb.Enter), until(`document.getElementById("sure").open`),
		shoot("sure"), chromedp.KeyEvent(kb.Escape), until(`!document.getElementById("sure").open`))
	if active() != "echo@aaaaaaaaaaaa" {
		t.Fatal("found a reload that was not wanted")
	}
	b.do(t, chromedp.Focus(reload), chromedp.KeyEvent(kb.Enter), until(`document.getElementById("sure").open`),
		chromedp.Focus("#yes"), chromedp.KeyEvent(kb.Enter),
		until(`document.getElementById("told").textContent === "Active: echo@bbbbbbbbbbbb"`))
	if active() != "echo@bbbbbbbbbbbb" {
		t.Error("found no reload")
	}
	yes := chromedp.Steps(until(`document.getElementById("sure").open`), chromedp.Focus("#yes"),
		chromedp.KeyEvent(kb.Enter), until(`!document.getElementById("sure").open`))
	press := func(label string) step {
		return chromedp.Steps(until(`document.querySelector('[aria-label^="`+label+`"]')`),
			chromedp.Focus(`[aria-label^="`+label+`"]`), chromedp.KeyEvent(kb.Enter))
	}
	b.do(t, until(`document.getElementById("tables").textContent.includes("echo@bbbbbbbbbbbb")`), // the next event
		press("Use echo@000000000000"), yes, press("Unpin echo@"), shoot("pinned"), yes,
		until(`!document.querySelector('[aria-label^="Unpin"]')`))
	b.do(t, press("Unload echo"), until(`!document.getElementById("saving").hidden`), yes,
		until(`document.getElementById("told").textContent === "removed plugin echo"`))
	if len(f.saved) > 0 {
		t.Errorf("found %q saved", f.saved)
	}
	b.do(t, press("Unload echo"), chromedp.Click("#save"), shoot("save"), yes, until(`document.activeElement`),
		chromedp.SendKeys("[name=named]", "other"), chromedp.SendKeys("[name=module]", "builtin:echo"),
		chromedp.SendKeys("[name=endpoint]", "tcp://127.0.0.1:7070"+kb.Enter),
		until(`document.getElementById("sure").open && !document.getElementById("save").checked`),
		chromedp.Click("#save"), yes,
		until(`document.getElementById("told").textContent === "added plugin other"`))
	if !slices.Equal(f.saved, []string{"echo", "other"}) || len(f.listens) != 1 {
		t.Errorf("found %q saved, and listeners %v", f.saved, f.listens)
	}
}

// most is how many changes of the page a task has made at most.
const most = `(() => {
	window.most = 0;
	new MutationObserver((list) => { window.most = Math.max(window.most, list.length); })
		.observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
	return true;
})()`

// TestPageInPieces: however much there is to be shown, a task changes little of the page, a
// table has few rows at once, and what is not seen is not laid out. The other rows are reached
// by keyboard.
func TestPageInPieces(t *testing.T) {
	b := browse(t)
	host := full{newFake(), &atomic.Uint64{}}
	url := page(t, New(Options{Host: host}))
	b.do(t, chromedp.Navigate(url), until(drawn))
	say[bool](t, b, most)
	for n := host.looks.Load(); host.looks.Load() < n+10; {
		b.do(t, until(`true`))
	}
	b.do(t, until(`most > 0`))
	changes := say[int](t, b, `most`)
	rows := say[int](t, b, `Math.max(...[...document.querySelectorAll("tbody")].map((b) => b.children.length))`)
	skipped := say[bool](t, b, `[...document.querySelectorAll(".wide")].every((e) =>
		getComputedStyle(e).contentVisibility === "auto")`)
	if changes > 400 || rows != 12 || !skipped {
		t.Errorf("found %d changes in a task, %d rows in a table, what is not seen skipped: %v", changes, rows, skipped)
	}
	where := `[...document.querySelectorAll(".pages")].find((p) => !p.hidden).textContent`
	after := `[aria-label="Plugins: rows after these"]`
	b.do(t, chromedp.Focus(after), chromedp.KeyEvent(kb.Enter), until(where+`.endsWith("13 to 24 of 32")`),
		chromedp.KeyEvent(kb.Enter), until(where+`.endsWith("25 to 32 of 32")`), // the focus goes on
		chromedp.KeyEvent(kb.Enter), until(where+`.endsWith("13 to 24 of 32")`))
}
