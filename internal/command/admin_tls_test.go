package command

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// TestAdministrationByTLS: a host on the network, and all that a command can be known to it by.
func TestAdministrationByTLS(t *testing.T) {
	skipWithoutSignals(t)
	cert, key := testCertificate(t, t.TempDir())
	own, ownKey := testCertificate(t, t.TempDir())
	token := write(t, "token", "0123456789abcdef0123456789abcdef\n")
	p := start(t, append(anyPorts, "--set=admin.listen=tcp://127.0.0.1:0", "--set=admin.tls.cert="+cert,
		"--set=admin.tls.key="+key, "--set=admin.tls.client_ca="+own, "--set=admin.token_file="+token)...)
	endpoint := p.await("administration").text("endpoint")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	here := "--admin=https://localhost:" + port
	for _, known := range [][]string{{"--token-file=" + token}, {"--cert=" + own, "--key=" + ownKey}} {
		r := command(t, append([]string{"status", here, "--ca=" + cert}, known...)...)
		if r.code != exitFine || !strings.Contains(r.stdout, "ready") {
			t.Errorf("%q: found %+v", known, r)
		}
	}
	r := command(t, "listeners", here, "--ca="+cert, "--token-file="+token, "--output=json")
	if !strings.Contains(r.stdout, `"certificates": [`) {
		t.Errorf("found %+v, wanted what certificates there are", r)
	}
	wrong := write(t, "wrong", "fedcba9876543210fedcba9876543210\n")
	for _, tc := range []struct {
		with []string
		says string
	}{
		{[]string{"--ca=" + cert}, "token"},
		{[]string{"--ca=" + cert, "--token-file=" + wrong}, "token"},
		{[]string{"--ca=" + own, "--token-file=" + token}, "not trusted here"},
		{[]string{"--token-file=" + token}, "not trusted here"},
		{[]string{"--ca=" + cert, "--cert=" + cert, "--key=" + key}, "certificate"},
		{[]string{"--ca=" + cert, "--cert=" + own}, "--key"},
		{[]string{"--ca=" + cert, "--cert=" + own, "--key=" + key}, "--key"},
		{[]string{"--ca=" + key, "--token-file=" + token}, "--ca: found no certificate"},
	} {
		r := command(t, append([]string{"status", here}, tc.with...)...)
		if r.code == exitFine || !strings.Contains(r.stderr, tc.says) || strings.Contains(r.stderr, "0123456789") {
			t.Errorf("%q: found %+v, wanted %q", tc.with, r, tc.says)
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d:\n%s", code, p.stderr())
	}
}

// Where something else than HTTP is asked, that is told: also where it speaks first.
func TestAskedNoHTTP(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS() // for its certificate
	defer s.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	for scheme, wrap := range map[string]func(net.Listener) net.Listener{
		"tcp":   func(ln net.Listener) net.Listener { return ln },
		"https": func(ln net.Listener) net.Listener { return tls.NewListener(ln, s.TLS) },
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for ln := wrap(ln); ; {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("220 mail\r\n")) // the command says what comes of it
				_ = c.Close()
			}
		}()
		at := scheme + "://" + ln.Addr().String()
		args := []string{"status", "--admin=" + at}
		if scheme == "https" {
			args = append(args, "--ca="+ca)
		}
		command(t, args...).plain(t, "wirehost: "+at+" is no wirehost: found no HTTP there; --admin names another")
		if scheme == "tcp" {
			command(t, append(args, "--ca="+ca)...).plain(t, "wirehost: "+at+" was asked by TLS, and answers without: ")
		}
	}
}

// What is wrong between a command and a host that speaks TLS is told as what to do about it.
func TestAskedByTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{}
	s.StartTLS()
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	command(t, "status", "--admin=tcp://127.0.0.1:"+port).plain(t,
		"wirehost: the host speaks TLS, and was asked without: wanted --admin https://HOST:PORT")
	command(t, "status", "--admin=https://localhost:"+port, "--ca="+ca).plain(t,
		"wirehost: the host at https://localhost:"+port+" shows a certificate that is another name's (x509: ")
}
