package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// jsonHead ends the first line of a request, and begins its header.
const jsonHead = " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// spot is a path in a folder whose name is short enough for sockets.
func spot(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, name)
}

// listen binds, and closes in the end.
func listen(t *testing.T, endpoint string) net.Listener {
	t.Helper()
	ln, _, err := Listen(endpoint, false, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // a second Close does nothing
	return ln
}

func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if fmt.Sprint(have) != fmt.Sprint(names) {
		t.Errorf("found %q in the folder, wanted %q", have, names)
	}
}

func TestSocketMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := spot(t, "s")
	ln := listen(t, "unix://"+path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("found mode %o, wanted 660", info.Mode().Perm())
	}
	only(t, filepath.Dir(path), "s")
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	only(t, filepath.Dir(path))
}

func TestLiveSocketStays(t *testing.T) {
	path := spot(t, "s")
	listen(t, "unix://"+path)
	_, _, err := Listen("unix://"+path, false, false)
	if err == nil || !strings.Contains(err.Error(), path+": another server answers there") {
		t.Fatalf("found %v, wanted an error", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first server is gone: %v", err)
	}
	c.Close()
	only(t, filepath.Dir(path), "s")
}

// abandoned is a socket as a killed server leaves it.
func abandoned(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := spot(t, "s")
	abandoned(t, path)
	ln := listen(t, "unix://"+path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	only(t, filepath.Dir(path), "s")
	ln.Close()
	only(t, filepath.Dir(path))
}

// Of many servers that start at once over a dead one's socket, one gets it, and
// it is that which answers.
func TestManyStart(t *testing.T) {
	for range 20 {
		path := spot(t, "s")
		abandoned(t, path)
		var wg sync.WaitGroup
		got := make(chan net.Listener, 8)
		for n := range 8 {
			wg.Go(func() {
				tmp := filepath.Join(filepath.Dir(path), fmt.Sprint(".", n))
				ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
				if err != nil {
					t.Error(err)
					return
				}
				ln.SetUnlinkOnClose(false)
				if takePlace(tmp, path) == nil {
					got <- ln
					return
				}
				ln.Close()
			})
		}
		wg.Wait()
		close(got)
		winners := 0
		for ln := range got {
			winners++
			ln.Close()
		}
		if winners != 1 {
			t.Fatalf("%d servers got the place, wanted 1", winners)
		}
	}
}

func TestFileIsNotReplaced(t *testing.T) {
	path := spot(t, "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Listen("unix://"+path, false, false); err == nil ||
		!strings.Contains(err.Error(), "found a file there") {
		t.Errorf("found %v, wanted an error", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is gone: %q, %v", text, err)
	}
	only(t, filepath.Dir(path), "s")
}

// A server that ends late does not remove its successor's socket.
func TestSuccessorKeepsItsSocket(t *testing.T) {
	path := spot(t, "s")
	first := listen(t, "unix://"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, "unix://"+path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	only(t, filepath.Dir(path), "s")
}

func TestListenFaults(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://192.0.2.1:0":                   "",
		"tcp://0.0.0.0:0":                     "which others can reach",
		"tcp://:0":                            "which others can reach",
		"tls://127.0.0.1:0":                   "found the scheme tls",
		"off":                                 "found no scheme",
		"unix://" + spot(t, "no/s"):           "/no: bind: no such file",
		"unix:///" + strings.Repeat("x", 103): "found a path of 104 bytes, wanted at most 103",
	} {
		ln, _, err := Listen(endpoint, false, false)
		if err == nil {
			ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "admin: ") {
			t.Errorf("%s: found %v, wanted ...%s...", endpoint, err, want)
		}
	}
}

func TestDefaultEndpoint(t *testing.T) {
	env := func(list map[string]string) func(string) string { return func(key string) string { return list[key] } }
	both := map[string]string{"XDG_RUNTIME_DIR": "/run/user/7", "TMPDIR": "/t"}
	if got := DefaultEndpoint(env(both)); got != "unix:///run/user/7/wirehost/admin.sock" {
		t.Errorf("found %s", got)
	}
	for _, list := range []map[string]string{{"TMPDIR": "/t"}, {"XDG_RUNTIME_DIR": "relative", "TMPDIR": "/t"}} {
		want := fmt.Sprintf("unix:///t/wirehost-%d/admin.sock", os.Getuid())
		if got := DefaultEndpoint(env(list)); got != want {
			t.Errorf("found %s, wanted %s", got, want)
		}
	}
}

// Among the temporary files server and client both want a folder that is the user's
// alone, which nobody can put another in the place of.
func TestTemporaryFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	dir := filepath.Dir(spot(t, "s"))
	own := filepath.Join(dir, fmt.Sprint("wirehost-", os.Getuid()))
	endpoint := "unix://" + filepath.Join(own, "admin.sock")
	if err := CheckDefault(endpoint); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	both := func(how, want string) {
		t.Helper()
		ln, _, err := Listen(endpoint, true, false)
		if err == nil {
			ln.Close()
		}
		if asked := CheckDefault(endpoint); want == "" && (err != nil || asked != nil) || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want) || asked == nil ||
				!strings.Contains(err.Error(), asked.Error())) {
			t.Errorf("%s: found %v and %v, wanted %q", how, err, asked, want)
		}
	}
	must(os.Mkdir(own, 0o755))
	both("others may look", "")
	if info, err := os.Stat(own); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("found %v, %v, wanted mode 700", info.Mode(), err)
	}
	must(os.Chmod(dir, 0o777))
	both("no sticky bit", "wanted the sticky bit")
	must(os.Chmod(dir, 0o777|os.ModeSticky))
	both("sticky", "")
	must(os.Chmod(own, 0o770))
	both("the group may write", "that nobody else can write to")
	must(os.Remove(own))
	must(os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
	must(os.Symlink("elsewhere", own))
	both("a link", "wanted a folder")
	if os.Getuid() == 0 {
		must(os.Remove(own))
		must(os.Mkdir(own, 0o700))
		must(os.Chown(own, 65534, 65534))
		both("another's", "of user 65534")
	}
}

func TestDefaultFolder(t *testing.T) {
	path := spot(t, "own/s")
	ln, authority, err := Listen("unix://"+path, true, false)
	if err != nil || authority != "" {
		t.Fatal(authority, err)
	}
	ln.Close()
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("found %v, %v, wanted mode 700", info, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, _, err = Listen("unix://"+path, true, false)
	if err == nil || !strings.Contains(err.Error(), "that nobody else can write to") {
		t.Errorf("found %v, wanted an error of a folder that all can write to", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(dir), dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Listen("unix://"+path, true, false); err == nil ||
		!strings.Contains(err.Error(), "wanted a folder") {
		t.Errorf("found %v, wanted an error of a link", err)
	}
}

// served is a Server on a socket.
func served(t *testing.T, h Host) (s *Server, path string) {
	t.Helper()
	path = spot(t, "s")
	s = New(Options{Host: h})
	ln := listen(t, "unix://"+path)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, path
}

// raw sends bytes as they are, with or without an end behind them, and returns
// what comes back.
func raw(t *testing.T, path, text string, end bool) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(c, text) // the server may refuse to read all
		if end {
			_ = c.(*net.UnixConn).CloseWrite() // as above
		}
	}()
	got, err := io.ReadAll(c)
	if err != nil && len(got) == 0 {
		t.Errorf("no answer: %v", err)
	}
	return string(got)
}

func TestGarbage(t *testing.T) {
	_, path := served(t, newFake())
	for name, tc := range map[string]struct{ text, want string }{
		"no HTTP":    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"},
		"no request": {"hello\r\n\r\n", "400 Bad Request"},
		"a huge header": {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 10<<20) + "\r\n\r\n",
			"431 Request Header"},
		"a huge body": {"POST /v1/plugins/new" + jsonHead + "Content-Length: 10485760\r\n\r\n" + strings.Repeat("[",
			10<<20), "413 Request Entity Too Large"},
		"a huge chunk": {"POST /v1/plugins/new" + jsonHead + "Transfer-Encoding: chunked\r\n\r\na00000\r\n" +
			strings.Repeat("[", 10<<20) + "\r\n0\r\n\r\n", "413 Request Entity Too Large"},
		"half a body": {"POST /v1/plugins/echo/reload" + jsonHead + "Content-Length: 100\r\n\r\n{", "400 Bad Request"},
		"a negative body": {"POST /v1/plugins/echo/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{",
			"400 Bad Request"},
		"a path with dots": {"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 30"},
		"a bad escape": {"GET /v1/plugins/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"},
		"deep nesting": {"POST /v1/plugins/new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
			"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("[", 1000000),
			"400 Bad Request"},
	} {
		if got := raw(t, path, tc.text, true); !strings.Contains(got, tc.want) {
			t.Errorf("%s: found %.300q, wanted %q", name, got, tc.want)
		}
	}
	got := raw(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false)
	if !strings.Contains(got, "200 OK") {
		t.Errorf("found %q, wanted that the server goes on", got)
	}
}

// A client that goes away while its change is prepared: the change is told, and
// the server goes on.
func TestClientGoes(t *testing.T) {
	f := newFake()
	f.entered, f.proceed = make(chan struct{}), make(chan struct{})
	_, path := served(t, f)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conditional := "POST /v1/plugins/echo/reload" + jsonHead + "If-Match: *\r\nContent-Length: 2\r\n\r\n{}"
	if _, err := io.WriteString(c, conditional); err != nil {
		t.Fatal(err)
	}
	<-f.entered
	c.Close() // ReloadPlugin returns by its context, and nobody proceeds
	// What the client held is free again: the same is refused until it is.
	again := make(chan string, 1)
	go func() {
		for {
			got := raw(t, path, "POST /v1/plugins/echo/reload HTTP/1.1\r\nHost: x\r\n"+
				"If-Match: *\r\nConnection: close\r\n\r\n", false)
			if !strings.Contains(got, "409 Conflict") {
				again <- got
				return
			}
		}
	}()
	select {
	case <-f.entered:
	case <-time.After(patience):
		t.Fatal("the change is under way for ever")
	}
	f.proceed <- struct{}{}
	if got := <-again; !strings.Contains(got, "200 OK") {
		t.Errorf("found %q, wanted 200", got)
	}
}

// Close lets a request finish.
func TestCloseIsGraceful(t *testing.T) {
	f := newFake()
	f.entered, f.proceed = make(chan struct{}), make(chan struct{})
	path := spot(t, "s")
	s := New(Options{Host: f})
	ln := listen(t, "unix://"+path)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	got := make(chan string, 1)
	go func() {
		got <- raw(t, path, "POST /v1/plugins/echo/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false)
	}()
	<-f.entered
	closed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { closed <- s.Close(ctx) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	f.proceed <- struct{}{}
	if text := <-got; !strings.Contains(text, "200 OK") {
		t.Errorf("found %q, wanted 200", text)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Close ends what does not finish.
func TestCloseEnds(t *testing.T) {
	f := newFake()
	f.entered, f.proceed = make(chan struct{}), make(chan struct{})
	s := New(Options{Host: f})
	path := spot(t, "s")
	ln := listen(t, "unix://"+path)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/plugins/echo/reload HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-f.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, wanted the context's", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A request over TCP goes through the guard of the address that was bound.
func TestTCP(t *testing.T) {
	ln, authority, err := Listen("tcp://127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Host: newFake(), Authority: authority})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for host, want := range map[string]int{"": 200, "evil.example": 403} {
		r, err := http.NewRequest("GET", "http://"+authority+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: found %d, wanted %d", host, resp.StatusCode, want)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The time for a request to arrive ends when it has arrived: a change may take
// longer. One that does not arrive is given up.
func TestTimes(t *testing.T) {
	f := newFake()
	f.entered, f.proceed = make(chan struct{}), make(chan struct{})
	s, path := served(t, f)
	s.ioTime = 2 * time.Second // in which the first request arrives
	got := make(chan string, 1)
	go func() {
		got <- raw(t, path, "POST /v1/plugins/echo/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+
			"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", false)
	}()
	<-f.entered
	unread := make(chan string, 1) // a body that no route reads: the connection ends, with or without an answer
	go func() {
		unread <- raw(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{", false)
	}()
	text := raw(t, path, "POST /v1/plugins/echo/reload"+jsonHead+"Content-Length: 2\r\n\r\n{", false)
	if !strings.Contains(text, "400 Bad Request") || !strings.Contains(text, "the body did not arrive") {
		t.Errorf("found %q, wanted 400", text)
	}
	<-unread
	select { // the first request is older than the second, which has run out of time
	case f.proceed <- struct{}{}:
	case text := <-got:
		t.Fatalf("found %q before the change was made", text)
	}
	if text := <-got; !strings.Contains(text, "200 OK") {
		t.Errorf("found %q, wanted 200", text)
	}
}

// deadlines notes the deadlines that an answer gets.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// Each answer has a deadline of its own: that of the one before on the same
// connection may be over. A body that has arrived has none.
func TestDeadlines(t *testing.T) {
	s := New(Options{Host: newFake()})
	for _, path := range []string{
		"GET /v1/plugins", "GET /metrics", "GET /v1/openapi.json", "GET /none", "POST /v1/plugins/echo/reload",
	} {
		method, path, _ := strings.Cut(path, " ")
		r := httptest.NewRequest(method, path, strings.NewReader("{}"))
		r.Host = "wirehost"
		r.Header.Set("Content-Type", "application/json")
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		began := time.Now()
		s.http.Handler.ServeHTTP(w, r)
		if len(w.write) != 1 || w.write[0].Before(began.Add(ioTime)) {
			t.Errorf("%s: found the deadlines %v for the answer, wanted one", path, w.write)
		}
		if len(w.read) == 0 || w.read[0].Before(began.Add(ioTime)) {
			t.Errorf("%s: found the deadlines %v for the body", path, w.read)
		}
		if ended := len(w.read) == 2 && w.read[1].IsZero(); ended != (method == "POST") {
			t.Errorf("%s: found the deadlines %v for the body", path, w.read)
		}
	}
}
