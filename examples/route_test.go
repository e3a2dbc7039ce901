package examples

import (
	"bufio"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// onePort is a port of several protocols, and a client of each.
type onePort struct {
	front              *server
	ca                 string // PEM, of one.test and two.test
	box                *sshBox
	hostPublic         string
	curl, openssl, cli string
}

// TestRoute has clients of TLS, SSH, HTTP and Redis come to one port, with what they send in
// their own pieces and byte by byte. TLS goes by its name to two plugins, neither of which ends
// it: they forward it, to a port where it is ended, and names are looked at behind it.
func TestRoute(t *testing.T) {
	p := &onePort{
		box:     &sshBox{dir: t.TempDir(), ssh: tooltest.Find(t, "ssh", "Debian: apt-get install openssh-client")},
		curl:    tooltest.Find(t, "curl", "Debian: apt-get install curl"),
		openssl: tooltest.Find(t, "openssl", "Debian: apt-get install openssl"),
		cli:     tooltest.Find(t, "redis-cli", "Debian: apt-get install redis-tools"),
	}
	p.serve(t, tooltest.Find(t, "ssh-keygen", "Debian: apt-get install openssh-client"))
	for _, c := range []struct{ name, addr string }{
		{"as it comes", p.front.addr["ssh"]},
		{"byte by byte", byteByByte(t, p.front.addr["ssh"])},
	} {
		t.Run(c.name, func(t *testing.T) { p.test(t, c.addr) })
	}
	want := map[string]uint64{"one": 2, "two": 2, "ssh": 2, "http": 2, "resp": 2}
	if got := p.front.ListenerInfos()[0].Routed; !maps.Equal(got, want) {
		t.Errorf("found %v, wanted %v", got, want)
	}
}

// serve serves the port, and the one where TLS is ended.
func (p *onePort) serve(t *testing.T, keygen string) {
	t.Helper()
	files, web := certtest.Issue(t, "one.test", "two.test"), pluginOf(t, "http")
	web.Config = map[string]any{"header_timeout": patience.Milliseconds(), "idle_timeout": patience.Milliseconds()}
	behind := serve(t, "http", func(c *config.Config) {
		c.Plugins = map[string]config.Plugin{"http": web, "resp": pluginOf(t, "resp")}
		l := &c.Listeners[0]
		l.Endpoint, l.TLS.Cert, l.TLS.Key = "tls://127.0.0.1:0", files.Cert, files.Key
		l.TLS.HandshakeTimeout, l.RouteTimeout = patience, patience
		l.Route = []config.Route{{SNI: config.Words{"two.test"}, Plugin: "resp"}}
	})
	private, hostPublic := p.box.keygen(t, keygen, "host", "ed25519")
	_, user := p.box.keygen(t, keygen, "user", "ed25519")
	p.ca, p.hostPublic = files.CA, hostPublic
	p.front = serve(t, "ssh", func(c *config.Config) {
		ssh, to := pluginOf(t, "ssh"), pluginOf(t, "portforward")
		ssh.Config = map[string]any{"host_key": private, "authorized": user + "\n"}
		target := "tcp://" + behind.addr["http"]
		to.Allow.Connect, to.Config = []string{target}, map[string]any{"target": target}
		c.Plugins = map[string]config.Plugin{"ssh": ssh, "http": web, "resp": pluginOf(t, "resp"), "one": to,
			"two": to}
		l := &c.Listeners[0]
		l.RouteTimeout = patience
		l.Route = []config.Route{
			{SNI: config.Words{"one.test"}, Plugin: "one"},
			{SNI: config.Words{"two.test"}, Plugin: "two"},
			{Prefix: config.Words{"SSH-"}, Plugin: "ssh"},
			{Regexp: config.Words{`^(GET|HEAD|POST|PUT) /`}, Plugin: "http"},
			{Prefix: config.Words{"*"}, Plugin: "resp"},
		}
	})
}

// pluginOf is an example as its wirehost.yaml has it, with all the time that it needs.
func pluginOf(t *testing.T, name string) config.Plugin {
	t.Helper()
	cfg, err := config.Load(config.Options{File: name + "/wirehost.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Plugins[name]
	p.Module, p.Limits.CallbackTime = build(t, name), patience
	return p
}

// test has each client come to an address once.
func (p *onePort) test(t *testing.T, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p.box.knows(t, port, p.hostPublic)
	if out, status := p.box.command(t, "user", "", "echo", "hello"); out != "hello\n" || status != 0 {
		t.Errorf("SSH: found %q, status %d", out, status)
	}
	if out := run(t, "set k v\nget k\n", p.cli, "-h", "127.0.0.1", "-p", port); out != "OK\nv\n" {
		t.Errorf("Redis: found %q", out)
	}
	curl := func(args ...string) string {
		return run(t, "", p.curl, append([]string{"--silent", "--show-error", "--noproxy", "*"}, args...)...)
	}
	if out := curl("http://" + addr + "/"); !strings.HasPrefix(out, "hello 127.0.0.1:") {
		t.Errorf("HTTP: found %q", out)
	}
	out := curl("--cacert", p.ca, "--resolve", "one.test:"+port+":127.0.0.1", "https://one.test:"+port+"/")
	if !strings.HasPrefix(out, "hello 127.0.0.1:") {
		t.Errorf("HTTP over TLS: found %q", out)
	}
	out = run(t, "PING\r\nQUIT\r\n", p.openssl, "s_client", "-quiet", "-connect", addr, "-servername", "two.test",
		"-verify_hostname", "two.test", "-verify_return_error", "-CAfile", p.ca)
	if !strings.Contains(out, "+PONG\r\n+OK\r\n") {
		t.Errorf("Redis over TLS: found %q", out)
	}
}

// byteByByte is the address of a relay to addr, which passes on what clients send a byte at a
// time. It serves one client after the other.
func byteByByte(t *testing.T, addr string) string {
	t.Helper()
	return listen(t, func(c *net.TCPConn) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		to := conn.(*net.TCPConn)
		defer to.Close()
		for _, end := range []*net.TCPConn{c, to} {
			if err := end.SetDeadline(time.Now().Add(2 * patience)); err != nil {
				t.Error(err)
			}
		}
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(c, to) // the client tells what it misses
			_ = c.CloseWrite()
		})
		in := bufio.NewReader(c)
		for {
			b, err := in.ReadByte()
			if err != nil { // its end
				break
			}
			if _, err := to.Write([]byte{b}); err != nil { // the server's
				break
			}
		}
		_ = to.CloseWrite()
		back.Wait()
	})
}
