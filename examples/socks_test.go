package examples

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// serveSocks serves it, with private addresses allowed or not.
func serveSocks(t *testing.T, private bool) *server {
	t.Helper()
	return serve(t, "socks", func(cfg *config.Config) {
		p := cfg.Plugins["socks"]
		p.Allow.Private = private
		p.Config = map[string]any{"timeout": 10} // seconds
		cfg.Plugins["socks"] = p
	})
}

// web serves HTTP: what is sent to it comes back.
func web(t *testing.T, addr string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Skipf("no %s here: %v", addr, err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := w.Write(append([]byte("you sent "), body...)); err != nil {
			t.Error(err)
		}
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// TestSocksCurl sends and gets 2 MiB in every way that curl has.
func TestSocksCurl(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	s := serveSocks(t, true)
	text := bytes.Repeat([]byte("0123456789abcde\n"), 1<<17)
	for _, c := range []struct{ option, host string }{
		{"--socks4", "127.0.0.1"},
		{"--socks4a", "localhost"},
		{"--socks5", "127.0.0.1"},
		{"--socks5", "[::1]"},
		{"--socks5-hostname", "localhost"},
	} {
		t.Run(c.option+" "+c.host, func(t *testing.T) {
			addr := "127.0.0.1"
			if c.host == "[::1]" {
				addr = "::1"
			}
			url := "http://" + c.host + ":" + web(t, addr) + "/"
			out := run(t, string(text), curl, "--silent", "--show-error", "--noproxy", "", c.option, s.addr["socks"],
				"--data-binary", "@-", url)
			if want := "you sent " + string(text); out != want {
				t.Errorf("found %d bytes, %.80q, wanted %d", len(out), out, len(want))
			}
		})
	}
}

// TestSocksRefused: curl says what the proxy said.
func TestSocksRefused(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	fails := func(s *server, want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, curl,
			append([]string{"--silent", "--show-error", "--noproxy", ""}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: found %v, %s wanted %q", args, err, out, want)
		}
	}
	open, public := serveSocks(t, true), serveSocks(t, false)
	fails(open, "(5)", "--socks5", open.addr["socks"], "http://"+closed)
	fails(open, "(91)", "--socks4", open.addr["socks"], "http://"+closed)
	fails(open, "(4)", "--socks5-hostname", open.addr["socks"], "http://nowhere.invalid")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "169.254.169.254",
		"10.0.0.1"} {
		fails(public, "(2)", "--socks5-hostname", public.addr["socks"], "http://"+host+":7")
	}
}

// TestSocksUDP has PySocks send datagrams through it, to this test and back.
func TestSocksUDP(t *testing.T) {
	python := tooltest.Find(t, "python3", "Debian: apt-get install python3")
	if exec.Command(python, "-c", "import socks").Run() != nil {
		tooltest.Missing(t, "PySocks: pip install PySocks")
	}
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		echo.Close()
		<-done
	})
	go func() {
		defer close(done)
		p := make([]byte, 1<<16)
		for {
			n, from, err := echo.ReadFrom(p)
			if err != nil {
				return // closed
			}
			if _, err := echo.WriteTo(append([]byte("you sent "), p[:n]...), from); err != nil {
				t.Error(err)
			}
		}
	}()
	const client = `
import socket, socks, sys
s = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
s.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]))
s.settimeout(30)
for text in (b"one", b"two" * 1000):
    s.sendto(text, ("127.0.0.1", int(sys.argv[2])))
    print(s.recvfrom(65535)[0].decode())
`
	s := serveSocks(t, true)
	_, port, _ := net.SplitHostPort(echo.LocalAddr().String())
	out := run(t, "", python, "-c", client, s.port("socks"), port)
	if want := "you sent one\nyou sent " + strings.Repeat("two", 1000) + "\n"; out != want {
		t.Errorf("found %q, wanted %q", out, want)
	}
}

// TestSocksBind asks for a listener by SOCKS5, and connects to it.
func TestSocksBind(t *testing.T) {
	s := serveSocks(t, true)
	c := s.dial(t, "socks")
	c.send("\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x00")
	c.expect("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01")
	var port [2]byte
	if _, err := io.ReadFull(c.r, port[:]); err != nil {
		t.Fatal(err)
	}
	peer := dial(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port[0])<<8|int(port[1]))))
	from, _ := peer.LocalAddr().(*net.TCPAddr)
	c.expect("\x05\x00\x00\x01\x7f\x00\x00\x01" + string([]byte{byte(from.Port >> 8), byte(from.Port)}))
	peer.send("here I am")
	c.expect("here I am")
	c.send("so you are")
	peer.expect("so you are")
	peer.CloseWrite()
	if rest := c.rest(); rest != "" {
		t.Errorf("found %q", rest)
	}
}
