package sdk_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
	"github.com/wirehost/wirehost/internal/wasmbintest"
)

// servePorts serves a guest that may listen anywhere on this machine's TCP loopback.
func servePorts(t testing.TB, module string) *server {
	t.Helper()
	p := config.Plugin{Module: module, Isolation: config.IsolationShared}
	p.Allow.Listen = []string{"tcp://127.0.0.1:*"}
	return serve(t, p)
}

// openPort has the guest listen, and gives the address.
func openPort(t testing.TB, c net.Conn) string {
	t.Helper()
	const at = "tcp://127.0.0.1:"
	say(t, c, "listen "+at+"0\r\n", at)
	return "127.0.0.1:" + read(t, c)
}

// Each port's connections get their protocols from its own factory.
func TestPorts(t *testing.T) {
	for _, l := range with(counter) {
		passed := t.Run(l.name, func(t *testing.T) {
			s := servePorts(t, build(t, l, ports))
			c := dial(t, s.addr)
			say(t, c, "listen tcp://192.0.2.1:0\r\n", "refused\r\n")
			addr := openPort(t, c)
			say(t, dial(t, s.addr), "x\r\n", "main\r\n")
			goesOn := dial(t, addr)
			say(t, goesOn, "", "passive\r\n")
			say(t, dial(t, addr), "x\r\n", "passive\r\npassive\r\n")
			say(t, c, "listen tcp://"+s.addr+"\r\n", "refused\r\n") // in use
			say(t, c, "stop\r\nstop\r\n", "stopped\r\nrefused\r\n")
			say(t, goesOn, "x\r\n", "passive\r\n")
		})
		count(columnTransports, l, passed)
	}
}

// A port's connections are served over TLS, and on a Unix socket; each moves.
func TestPortsOfEachKind(t *testing.T) {
	files := certtest.Issue(t)
	dir, err := os.MkdirTemp("", "port") // a short path: a socket's name is one of 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, l := range with(counter) {
		passed := t.Run(l.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ToLower(l.name))
			p := config.Plugin{Module: build(t, l, ports), Isolation: config.IsolationShared}
			p.Allow.Listen = []string{"tls://127.0.0.1:*", "unix://" + path}
			p.Allow.TLS = config.TLS{Cert: files.Cert, Key: files.Key}
			s := serve(t, p)
			c := dial(t, s.addr)
			say(t, c, "listen tls://127.0.0.1:0\r\n", "tls://127.0.0.1:")
			over := tls.Client(dial(t, "127.0.0.1:"+read(t, c)),
				&tls.Config{RootCAs: files.Pool, ServerName: "localhost"})
			say(t, over, "x\r\n", "passive\r\npassive\r\n")
			s.again(t, 2)
			say(t, over, "x\r\n", "passive\r\n")
			say(t, c, "stop\r\n", "stopped\r\n")

			say(t, c, "listen unix://"+path+"\r\n", "unix://"+path+"\r\n")
			local, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { local.Close() })
			say(t, local, "x\r\n", "passive\r\npassive\r\n")
			s.again(t, 3)
			say(t, local, "x\r\n", "passive\r\n")
			say(t, c, "stop\r\n", "stopped\r\n")
		})
		count(columnTransports, l, passed)
	}
}

// A port moves in a reload, with its connections, to another language too.
func TestPortsMove(t *testing.T) {
	all := available(t, counter)
	if len(all) == 0 {
		t.Skip("no language can be built")
	}
	s := servePorts(t, build(t, all[0], ports))
	c := dial(t, s.addr)
	addr := openPort(t, c)
	stays := dial(t, addr)
	say(t, stays, "", "passive\r\n")
	for n, l := range append(all[1:], all[0]) {
		s.use(t, build(t, l, ports), 2+n)
		say(t, stays, "x\r\n", "passive\r\n")
		say(t, dial(t, addr), "x\r\n", "passive\r\npassive\r\n") // which stays, too
		say(t, c, l.name+"\r\n", "main\r\n")
	}
	say(t, c, "stop\r\n", "stopped\r\n")
}

// A guest that does not listen has no part of it.
func TestNoPorts(t *testing.T) {
	for _, l := range with(counter) {
		t.Run(l.name, func(t *testing.T) {
			m := wasmbintest.Read(t, build(t, l, counter)).Describe()
			if slices.ContainsFunc(m.Imports, func(i abi.ModuleImport) bool {
				return slices.Contains([]string{"listen", "stopListening", "listener"}, i.Name)
			}) {
				t.Error("found an import of listening")
			}
		})
	}
}
