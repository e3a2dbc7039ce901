package examples

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// goServer edits the configuration of a guest with a Go server: one event loop where it
// says so, so that there is one instance.
func goServer(loops int, settings map[string]any) func(*config.Config) {
	return func(c *config.Config) {
		c.Reactor.Loops = loops
		for name, p := range c.Plugins {
			if settings != nil {
				p.Config = settings
			}
			c.Plugins[name] = p
		}
	}
}

// inEach runs a test with an instance for each event loop, and with one for each
// connection, which leaves its place whenever it rests. isolated edits a configuration
// to that.
func inEach(t *testing.T, test func(t *testing.T, isolated func(edit func(*config.Config)) func(*config.Config))) {
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationConnection} {
		t.Run(string(isolation), func(t *testing.T) {
			test(t, func(edit func(*config.Config)) func(*config.Config) { return isolatedAs(isolation, edit) })
		})
	}
}

// isolatedAs is edit, and then an isolation, in which an instance leaves its place whenever
// it rests.
func isolatedAs(isolation config.Isolation, edit func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		edit(c)
		for name, p := range c.Plugins {
			p.Isolation, p.PageOut = isolation, time.Millisecond
			c.Plugins[name] = p
		}
	}
}

// httpClient has a pool of its own, which ends with the test.
func httpClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// answer is the body of a response that must be 200.
func answer(t *testing.T, r *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %.300q", r.Status, err, b)
	}
	return string(b)
}

func TestHTTP(t *testing.T) {
	inEach(t, func(t *testing.T, isolated func(func(*config.Config)) func(*config.Config)) {
		testHTTP(t, serve(t, "http", isolated(goServer(2, nil))))
	})
}

func testHTTP(t *testing.T, s *server) {
	url := "http://" + s.addr["http"]
	c := httpClient(t)
	t.Run("keep-alive", func(t *testing.T) {
		r, err := c.Get(url + "/")
		first := answer(t, r, err)
		for range 10 {
			r, err := c.Get(url + "/")
			if got := answer(t, r, err); got != first {
				t.Fatalf("found %q, then %q: another connection", first, got)
			}
		}
	})
	t.Run("chunked upload", func(t *testing.T) {
		const size = 5 << 20
		h := sha256.New()
		r, err := c.Post(url+"/hash", "", io.TeeReader(io.LimitReader(pattern{}, size), h))
		got := answer(t, r, err)
		if want := fmt.Sprintf("%d %x\n", size, h.Sum(nil)); got != want {
			t.Errorf("found %q, wanted %q", got, want)
		}
	})
	t.Run("big download", func(t *testing.T) {
		const size = 50 << 20
		r, err := c.Get(fmt.Sprintf("%s/bytes/%d", url, size))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if n, err := io.Copy(&check{}, r.Body); n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		r, err := c.Head(url + "/bytes/77")
		if body := answer(t, r, err); body != "" || r.ContentLength != 77 {
			t.Errorf("%d, %q", r.ContentLength, body)
		}
	})
	t.Run("sleeping", func(t *testing.T) {
		r, err := c.Get(url + "/ticks/5")
		got := answer(t, r, err)
		if strings.Count(got, "tick ") != 5 {
			t.Errorf("found %q", got)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for j := range 40 {
					size := (i*40 + j) * 53 % 70_000
					r, err := c.Get(fmt.Sprintf("%s/bytes/%d", url, size))
					if err != nil {
						t.Error(err)
						return
					}
					n, err := io.Copy(&check{}, r.Body)
					r.Body.Close()
					if n != int64(size) || err != nil {
						t.Errorf("found %d bytes, %v; wanted %d", n, err, size)
					}
				}
			})
		}
		wg.Wait()
	})
}

// pattern is an endless body, as examples/http sends it: pieces of 32 KiB of
// counted bytes.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// check holds a body against its pattern.
type check struct{ at byte }

func (c *check) Write(p []byte) (int, error) {
	for i, b := range p {
		if b != c.at {
			return i, fmt.Errorf("found %d, wanted %d", b, c.at)
		}
		c.at++
	}
	return len(p), nil
}

// TestHTTPUnreadAnswer: who does not read the answer stops the guest's
// goroutine.
func TestHTTPUnreadAnswer(t *testing.T) {
	s := serve(t, "http", goServer(1, nil))
	slow := s.dial(t, "http")
	slow.send("GET /bytes/2000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := slow.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	// The others are served, and the guest holds little.
	c := httpClient(t)
	for range 20 {
		if sys := s.httpState(t, c)["sys"]; sys > 40<<20 {
			t.Fatalf("the guest holds %d bytes", sys)
		}
	}
	// A reset in the middle ends the goroutine.
	before := s.httpState(t, c)["goroutines"]
	if err := slow.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	slow.Close()
	s.untilState(t, c, "goroutines", before-1)
}

// TestHTTPUnreadBody: who sends what the guest does not read is read from no
// more.
func TestHTTPUnreadBody(t *testing.T) {
	s := serve(t, "http", goServer(1, nil))
	c := httpClient(t)
	before := s.httpState(t, c)["goroutines"]
	sender := s.dial(t, "http")
	sender.send("GET /ticks/100000 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() {
		// It ends with the connection, long before all is sent.
		if n, err := io.CopyN(sender, pattern{}, 2_000_000_000); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	})
	s.untilConnection(t, sender.LocalAddr().String(), "paused",
		func(c host.ConnInfo) bool { return c.State == "paused" })
	if sys := s.httpState(t, c)["sys"]; sys > 40<<20 {
		t.Errorf("the guest holds %d bytes", sys)
	}
	if err := sender.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	sender.Close()
	wg.Wait()
	s.untilState(t, c, "goroutines", before)
}

// untilConnection waits until what is told of a peer's connection is so.
func (s *server) untilConnection(t *testing.T, peer, what string, so func(host.ConnInfo) bool) {
	t.Helper()
	var last []host.ConnInfo
	for give := time.Now().Add(patience); time.Now().Before(give); {
		page, err := s.Connections(t.Context(), host.ConnQuery{})
		if err != nil {
			t.Fatal(err)
		}
		last = page.Connections
		for _, c := range last {
			if strings.HasSuffix(c.Peer, peer) && so(c) {
				return
			}
		}
	}
	t.Errorf("found %+v, wanted %s to be %s", last, peer, what)
}

// httpState is what the instance holds that c's connections come to.
func (s *server) httpState(t *testing.T, c *http.Client) map[string]int {
	t.Helper()
	r, err := c.Get("http://" + s.addr["http"] + "/state")
	list := map[string]int{}
	for line := range strings.Lines(answer(t, r, err)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if list[name], err = strconv.Atoi(value); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// untilState asks until a value is at most what is wanted.
func (s *server) untilState(t *testing.T, c *http.Client, name string, most int) {
	t.Helper()
	last := 0
	for give := time.Now().Add(patience); time.Now().Before(give); {
		if last = s.httpState(t, c)[name]; last <= most {
			return
		}
	}
	t.Errorf("%s: found %d, wanted %d at most\n%s", name, last, most, s.log)
}

// TestHTTPLeavesNothing: thousands of connections one after the other, ended in
// every way, leave no goroutine and no memory.
func TestHTTPLeavesNothing(t *testing.T) {
	s := serve(t, "http", goServer(1, nil))
	c := httpClient(t)
	round := func(n int) {
		t.Helper()
		for i := range n {
			conn, err := net.Dial("tcp", s.addr["http"])
			if err != nil {
				t.Fatal(err)
			}
			tcp := conn.(*net.TCPConn)
			if err := endHTTP(tcp, i); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
	}
	warm, all := 1000, 4000
	if testing.Short() {
		all = 1000
	}
	round(warm)
	before := s.httpState(t, c)
	round(all)
	s.untilState(t, c, "goroutines", before["goroutines"])
	after := s.httpState(t, c)
	t.Logf("before %v, after %v", before, after)
	if after["sys"] > before["sys"]+1<<20 {
		t.Errorf("memory grew from %d to %d bytes with %d connections", before["sys"], after["sys"], all)
	}
}

// endHTTP uses a connection and ends it in one of several ways.
func endHTTP(c *net.TCPConn, way int) error {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	text, wanted := "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"
	switch way % 5 {
	case 0: // the client closes, with the connection kept alive
	case 1: // the server closes
		text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	case 2: // reset in the middle of an answer
		text = "GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n"
		if err := c.SetLinger(0); err != nil {
			return err
		}
	case 3: // garbage
		text, wanted = "garbage\r\n\r\n", "400 Bad Request"
	case 4: // half a request, then nothing more
		text, wanted = "GET / HT", ""
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	if wanted == "" {
		return nil
	}
	b := make([]byte, 200)
	n, err := c.Read(b)
	if err != nil || !bytes.Contains(b[:n], []byte(wanted)) {
		return fmt.Errorf("found %q, %w; wanted %s", b[:n], err, wanted)
	}
	if way%5 != 1 {
		return nil
	}
	_, err = io.Copy(io.Discard, c)
	if errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("wanted the end of the stream: %w", err)
	}
	return err
}

// TestHTTPDeadlines: a net/http server's time limits are deadlines of its
// connections.
func TestHTTPDeadlines(t *testing.T) {
	inEach(t, func(t *testing.T, isolated func(func(*config.Config)) func(*config.Config)) {
		settings := map[string]any{"header_timeout": 150, "idle_timeout": 250}
		testHTTPDeadlines(t, serve(t, "http", isolated(goServer(2, settings))))
	})
}

func testHTTPDeadlines(t *testing.T, s *server) {
	for _, c := range []struct {
		name, text string
		least      time.Duration
	}{
		{"nothing comes", "", 150 * time.Millisecond},
		{"half a header", "GET / HTTP/1.1\r\nHost:", 150 * time.Millisecond},
		{"idle", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 250 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			conn := s.dial(t, "http")
			conn.send(c.text)
			conn.rest()
			if took := time.Since(begin); took < c.least {
				t.Errorf("closed after %v, wanted %v at least", took, c.least)
			}
		})
	}
}

// TestHTTPReload: goroutines can't move, so a connection ends on its version.
func TestHTTPReload(t *testing.T) {
	inEach(t, func(t *testing.T, isolated func(func(*config.Config)) func(*config.Config)) {
		testHTTPReload(t, serve(t, "http", isolated(goServer(2, nil))))
	})
}

func testHTTPReload(t *testing.T, s *server) {
	old := s.dial(t, "http")
	old.send("GET /bytes/10000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	old.expect("HTTP/1.1 200 OK\r\n")
	out, err := s.ReloadPlugin(context.Background(), "http", true)
	if err != nil || out.Migrated != 0 || len(out.Kept) == 0 {
		t.Fatalf("%v, %v; wanted one kept", out, err)
	}
	c := httpClient(t)
	r, err := c.Get("http://" + s.addr["http"] + "/")
	answer(t, r, err)
	_, body, _ := strings.Cut(old.rest(), "\r\n\r\n")
	if len(body) != 10_000_000 {
		t.Errorf("found %d bytes on the old version", len(body))
	}
	s.untilPlugin(t, "nothing left of the old version", func(p host.PluginInfo) bool {
		for _, v := range p.Versions {
			if v.State != host.StateActive && v.Connections+v.Instances > 0 {
				return false
			}
		}
		return true
	})
}

// TestHTTPIsolation: an instance of one connection ends with it, although it
// had ticks and deadlines.
func TestHTTPIsolation(t *testing.T) {
	edit := goServer(2, nil)
	s := serve(t, "http", func(c *config.Config) {
		edit(c)
		p := c.Plugins["http"]
		p.Isolation = config.IsolationConnection
		c.Plugins["http"] = p
	})
	for range 3 {
		conn := s.dial(t, "http")
		conn.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.expect("HTTP/1.1 200 OK\r\n")
	}
	s.untilPlugin(t, "three instances", func(p host.PluginInfo) bool { return p.Instances >= 3 })
	for range 3 {
		conn := s.dial(t, "http")
		conn.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		conn.rest()
	}
	s.untilPlugin(t, "three instances again", func(p host.PluginInfo) bool { return p.Instances <= 3 })
}

// untilPlugin waits until what is told of the plugin http is so.
func (s *server) untilPlugin(t *testing.T, what string, so func(host.PluginInfo) bool) {
	t.Helper()
	var last host.PluginInfo
	for give := time.Now().Add(patience); time.Now().Before(give); {
		var err error
		if last, err = s.Plugin("http"); err != nil {
			t.Fatal(err)
		}
		if so(last) {
			return
		}
	}
	t.Errorf("found %+v, wanted %s", last, what)
}

// TestCurl gets and sends, over TLS as well.
func TestCurl(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			files := certtest.Issue(t)
			s := serve(t, "http", func(c *config.Config) {
				goServer(2, nil)(c)
				if l := &c.Listeners[0]; scheme == "https" {
					l.Endpoint = strings.Replace(l.Endpoint, "tcp:", "tls:", 1)
					l.TLS.Cert, l.TLS.Key = files.Cert, files.Key
				}
			})
			testCurl(t, scheme+"://localhost:"+s.port("http"), func(args ...string) string {
				return run(t, "", curl, append(args, "-sS", "--max-time", "30", "--cacert", files.CA)...)
			})
		})
	}
}

func testCurl(t *testing.T, url string, curl func(args ...string) string) {
	out := curl(url+"/", url+"/")
	if first, second, _ := strings.Cut(out, "\n"); !strings.HasPrefix(out, "hello 127.0.0.1:") ||
		strings.TrimSpace(second) != first {
		t.Errorf("found %q, wanted the same twice: one connection", out)
	}
	body := strings.Repeat("upload ", 100_000)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-T", file, "-X", "POST"},
		{"-T", file, "-X", "POST", "-H", "Transfer-Encoding: chunked"},
		{"--data-binary", "@" + file, "-H", "Expect: 100-continue"},
	} {
		if out, want := curl(append(args, url+"/hash")...), fmt.Sprintf("%d %x\n", len(body),
			sha256.Sum256([]byte(body))); out != want {
			t.Errorf("%q: found %q, wanted %q", args, out, want)
		}
	}
	if out := curl("-I", url+"/bytes/5000"); !strings.Contains(out, "Content-Length: 5000") {
		t.Errorf("found %q", out)
	}
	if out := curl("-o", "/dev/null", "-w", "%{size_download}", url+"/bytes/20000000"); out != "20000000" {
		t.Errorf("found %q bytes", out)
	}
}
