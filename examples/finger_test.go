package examples

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestFinger has finger's own port, since the program knows no other, on an
// address that nobody else is likely to use.
func TestFinger(t *testing.T) {
	finger := tooltest.Find(t, "finger", "Debian: apt-get install finger")
	const addr = "127.0.0.79"
	l, err := net.Listen("tcp", addr+":79")
	if err != nil {
		tooltest.Missing(t, fmt.Errorf("%w (Linux: sysctl -w net.ipv4.ip_unprivileged_port_start=79)", err))
	}
	l.Close()
	serve(t, "finger", func(cfg *config.Config) { cfg.Listeners[0].Endpoint = "tcp://" + addr + ":79" })
	for _, c := range []struct{ args, want string }{
		{"@" + addr,
			"Login            Name                     Office\n" +
				"ann              Ann Example              2.07\nbob              Bob Example\n"},
		{"bob@" + addr, "Login: bob\nName: Bob Example\n"},
		{"-l ann@" + addr, "Login: ann\nName: Ann Example\nOffice: 2.07\nPlan:\nRead RFC 1288.\nWrite it down.\n"},
		{"nobody@" + addr, "finger: nobody: no such user.\n"},
		{"ann@example.org@" + addr, "Finger forwarding service denied.\n"},
	} {
		out := strings.ReplaceAll(run(t, "", finger, strings.Fields(c.args)...), "\r\n", "\n")
		if !strings.HasSuffix(out, c.want) {
			t.Errorf("finger %s: found %q, wanted %q", c.args, out, c.want)
		}
	}
}
