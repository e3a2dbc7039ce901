package command

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

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
