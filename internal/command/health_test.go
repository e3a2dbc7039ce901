package command

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHealth: a probe by the command, of the administration and of a monitor, while the host
// serves, while it is about to end, and when it is gone.
func TestHealth(t *testing.T) {
	skipWithoutSignals(t)
	o := operator{t, socketAt(t)}
	monitor := operator{t, socketAt(t)}
	p := start(t, append(anyPorts, "--set=admin.listen="+o.endpoint, "--set=monitor.listen="+monitor.endpoint,
		"--set=reactor.pre_stop=1h")...)
	c := dial(t, p.ready()[0])
	exchange(t, c, "before")
	p.await("administration")
	for _, at := range []string{"--admin=" + o.endpoint, "--set=monitor.listen=" + monitor.endpoint} {
		if r := command(t, "health", at); r.code != exitFine || r.stdout != "ok\n" || r.stderr != "" {
			t.Errorf("%s: found %d %q %q", at, r.code, r.stdout, r.stderr)
		}
		if r := command(t, "health", "--ready", at); r.code != exitFine || r.stdout != "ready\n" {
			t.Errorf("%s: found %d %q %q", at, r.code, r.stdout, r.stderr)
		}
	}
	if code, text := monitor.get("GET", "/metrics"); code != 200 || !strings.Contains(text, "wirehost_build_info{") {
		t.Errorf("found %d %.300s", code, text)
	}
	p.signal(syscall.SIGTERM)
	p.await("unready; serving on before listeners close")
	if r := command(t, "health", "--ready", "--set=monitor.listen="+monitor.endpoint); r.code != exitFailed ||
		r.stderr != "wirehost: not ready: the server is ending\n" {
		t.Errorf("found %d %q", r.code, r.stderr)
	}
	p.signal(syscall.SIGTERM) // which ends that time
	c.Close()
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d:\n%s", code, p.stderr())
	}
	if r := command(t, "health", "--admin="+monitor.endpoint); r.code != exitFailed ||
		!strings.Contains(r.stderr, "no host answers at "+monitor.endpoint) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("found %d %q", r.code, r.stderr)
	}
}

// TestHealthOddly: what a probe's words lack is said, in the words of who typed them.
func TestHealthOddly(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	replace(t, bad, []byte("bad: 1\n"))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"health", "--timeout=0s"}, exitUsage, "wirehost: --timeout: found 0s, wanted a time such as 1s"},
		{[]string{"health", "--timeout=-1s"}, exitUsage, "wirehost: --timeout: found -1s, wanted a time such as 1s"},
		{[]string{"health", "--config=" + bad}, exitFailed,
			"\nwirehost: the configuration says where the host is asked: "},
		{[]string{"status", "--config=" + bad}, exitFailed,
			"\nwirehost: the configuration says where the host is asked: "},
	} {
		if r := command(t, c.args...); r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q: found %d %q, wanted %d %q", c.args, r.code, r.stderr, c.code, c.want)
		}
	}
}

// TestAllAddresses: a host that listens on every address is asked on this machine.
func TestAllAddresses(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://0.0.0.0:9": "http://localhost:9", "tcp://[::]:9": "http://localhost:9", "tcp://:9": "http://localhost:9",
		"https://0.0.0.0:9": "https://localhost:9", "tcp://127.0.0.2:9": "http://127.0.0.2:9",
	} {
		c, err := (&app{}).newClient(endpoint, &knownBy{})
		if err != nil || c.base != want {
			t.Errorf("%s: found %+v, %v, wanted %s", endpoint, c, err, want)
		}
	}
}

// TestCertificateAsked: who has no certificate that the host knows is told what to name.
func TestCertificateAsked(t *testing.T) {
	ca := x509.NewCertPool()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca}
	srv.StartTLS()
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	if r := command(t, "status", "--admin="+srv.URL, "--ca="+file); r.code != exitFailed ||
		!strings.Contains(r.stderr, "lets in nobody without a certificate that it knows") {
		t.Errorf("found %d %q, wanted what to name", r.code, r.stderr)
	}
	if r := command(t, "status", "--admin="+srv.URL, "--ca="+file, "--cert="+file); r.code != exitUsage ||
		!strings.Contains(r.stderr, "found one of --cert and --key, wanted both or none") {
		t.Errorf("found %d %q, wanted that the key is missing", r.code, r.stderr)
	}
}
