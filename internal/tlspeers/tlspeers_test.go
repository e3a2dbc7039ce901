// Package tlspeers holds TLS against peers that are not ours: clients that people use, and one that does wrong on
// purpose, with both record layers.
package tlspeers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/reactor"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// layers are the record layers, as reactor.tls_records has them.
var layers = []string{"library", "auto"}

// ends are the reasons that connections have ended for, by the client's port.
type ends struct {
	mu    sync.Mutex
	known map[string]chan reactor.Reason
}

func newEnds() *ends { return &ends{known: map[string]chan reactor.Reason{}} }

// end is where the end of a client's connection is told, and then asked for.
func (e *ends) end(port string) chan reactor.Reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known[port] == nil {
		e.known[port] = make(chan reactor.Reason, 100) // another client may have the port later
	}
	return e.known[port]
}

func (e *ends) tell(endpoint string, r reactor.Reason) {
	e.end(endpoint[strings.LastIndexByte(endpoint, ':')+1:]) <- r
}

// of is why a client's connection has ended; it waits for that.
func (e *ends) of(port string) string {
	select {
	case r := <-e.end(port):
		return r.String()
	case <-time.After(patience):
		return "and the host does not end it"
	}
}

// server is a host with the plugin echo, behind listeners of TLS.
type server struct {
	certtest.Files
	ends  *ends
	where map[string]any // as cases.py wants it: ports of listeners by their names, files
	log   *bytes.Buffer  // read it at the end
}

func serve(t *testing.T, records string) *server {
	t.Helper()
	s := &server{Files: certtest.Issue(t), ends: newEnds(), log: &bytes.Buffer{}}
	s.where = map[string]any{"cert": s.Cert, "key": s.Key}
	cfg := config.Config{Plugins: map[string]config.Plugin{"echo": {Module: "../../host/testdata/echo.wasm"}}}
	cfg.Reactor.Loops, cfg.Reactor.TLSRecords = 2, records
	settings := config.TLS{Cert: s.Cert, Key: s.Key}
	names := []string{"port", "idle", "ca", "hasty"}
	cfg.Listeners = []config.Listener{
		{Endpoint: "tls://127.0.0.1:0", Plugin: "echo", TLS: settings},
		{Endpoint: "tls://127.0.0.1:0", Plugin: "echo", TLS: settings, IdleTimeout: time.Second},
		{Endpoint: "tls://127.0.0.1:0", Plugin: "echo", TLS: settings},
		{Endpoint: "tls://127.0.0.1:0", Plugin: "echo", TLS: settings},
	}
	cfg.Listeners[3].TLS.HandshakeTimeout = 2 * time.Second
	cfg.Listeners[2].TLS.ClientCA = s.CA
	h, err := host.New(cfg, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Output: s.log, Level: hclog.Debug})})
	if err != nil {
		t.Fatal(err)
	}
	h.Observe(&host.Observer{Ended: func(e host.ConnEnd) {
		s.ends.tell(e.Peer, e.Reason)
	}})
	if err := h.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.log)
		}
	})
	for i, ep := range h.Listeners() {
		s.where[names[i]] = ep.Port
	}
	return s
}

// python is an interpreter that has some packages.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	path := tooltest.Find(t, "python3", "Debian: apt-get install python3")
	if out, err := exec.Command(path, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput(); err != nil {
		tooltest.Missing(t, "pip install tlslite-ng cryptography rtls: "+string(out))
	}
	return path
}

// outcome is a line of testdata/cases.py.
type outcome struct {
	Case, Found, Wanted string
	Port                json.Number
}

// run has cases.py run, and judges each line. begun is told of the port of a server.
func run(t *testing.T, e *ends, begun func(port string), args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, python(t, "tlslite", "cryptography"), append([]string{"-W", "ignore",
		"testdata/cases.py"}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Errorf("%v: %s", err, lines.Bytes())
			continue
		}
		if o.Case == "" {
			begun(o.Port.String())
			continue
		}
		cases++
		if found := o.Found + ", " + e.of(o.Port.String()); found != o.Wanted {
			t.Errorf("%s: found %s; wanted %s", o.Case, found, o.Wanted)
		}
	}
	if err := cmd.Wait(); err != nil || cases < 150 {
		t.Errorf("%d cases: %v\n%s", cases, err, stderr.String())
	}
}

// TestMisbehavingClient: what a client does wrong has the same end with each record layer.
func TestMisbehavingClient(t *testing.T) {
	for _, records := range layers {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := serve(t, records)
			where, err := json.Marshal(s.where)
			if err != nil {
				t.Fatal(err)
			}
			run(t, s.ends, nil, "client", string(where), records)
		})
	}
}

// echoing is an outgoing connection that writes back what it gets.
type echoing struct {
	reactor.Transport
	ends  *ends
	again func()
}

func (e *echoing) ConnectionMade(t reactor.Transport) { e.Transport = t }
func (e *echoing) DataReceived(b []byte)              { _, _ = e.Write(b) } // ConnectionLost tells of it
func (e *echoing) ConnectionLost(r reactor.Reason, _ error) {
	e.ends.tell(e.Host(), r)
	e.again()
}
func (e *echoing) ConnectionFailed(reactor.Reason, error) {} // the script is over, or it tells why

// connecting is a reactor that connects to a server, and has each connection write back what
// it gets.
type connecting struct {
	*reactor.Reactor
	certtest.Files
	ends *ends
}

func connectFrom(t *testing.T, records string) *connecting {
	t.Helper()
	r, err := reactor.New(reactor.Config{Loops: 1, LibraryTLS: records == "library"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return &connecting{r, certtest.Issue(t), newEnds()}
}

// connect opens a connection, and another when it has ended, until there is none to be had.
func (c *connecting) connect(t *testing.T, port string) {
	t.Helper()
	ep, err := reactor.ParseEndpoint("tls://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	loop := c.Loops()[0]
	var again func()
	again = func() {
		loop.Connect(ep, &echoing{ends: c.ends, again: again},
			reactor.ConnectOptions{TLS: &tls.Config{RootCAs: c.Pool}})
	}
	if err := loop.CallFromThread(again); err != nil {
		t.Fatal(err)
	}
}

// TestMisbehavingServer: the same for servers, to which the reactor connects.
func TestMisbehavingServer(t *testing.T) {
	for _, records := range layers {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			c := connectFrom(t, records)
			where, err := json.Marshal(map[string]any{"cert": c.Cert, "key": c.Key})
			if err != nil {
				t.Fatal(err)
			}
			run(t, c.ends, func(port string) { c.connect(t, port) }, "server", string(where), records)
		})
	}
}
