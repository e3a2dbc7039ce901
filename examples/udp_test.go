package examples

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// udpPort is the port of a plugin's datagram socket.
func (s *server) udpPort(plugin string) string { return s.port("udp://" + plugin) }

// TestNTP: chrony's program measures by the server what is wrong with this machine's clock,
// which is the server's.
func TestNTP(t *testing.T) {
	chronyd := tooltest.Find(t, "chronyd", "Debian: apt-get install chrony")
	s := serve(t, "ntp", nil)
	out := run(t, "", chronyd, "-Q", "-U", "-t", "50",
		"server 127.0.0.1 port "+s.udpPort("ntp")+" iburst maxsamples 1",
		"pidfile "+filepath.Join(t.TempDir(), "pid"), "cmdport 0", "bindcmdaddress /")
	var off float64
	_, rest, _ := strings.Cut(out, "System clock wrong by ")
	if _, err := fmt.Sscan(rest, &off); err != nil || off < -10 || off > 10 {
		t.Errorf("found %v, %v: %s", off, err, out)
	}
}

func TestSyslog(t *testing.T) {
	logger := tooltest.Find(t, "logger", "Debian: apt-get install bsdutils")
	s := serve(t, "syslog", nil)
	for i, how := range [][]string{
		{"--udp"}, {"--udp", "--rfc3164"}, {"--tcp"}, {"--tcp", "--octet-count"}, {"--tcp", "--rfc3164"},
	} {
		port := s.port("syslog")
		if how[0] == "--udp" {
			port = s.udpPort("syslog")
		}
		text := fmt.Sprintf("message %d", i)
		run(t, "", logger, append(how, "--server", "127.0.0.1", "--port", port, "--tag", "disk",
			"--priority", "local0.warning", text)...)
		s.await(t, "[WARN]", "local0.warning", "disk", text)
	}
	stdin := "one\ntwo\n"
	run(t, stdin, logger, "--tcp", "--octet-count", "--server", "127.0.0.1", "--port", s.port("syslog"), "--priority",
		"user.err")
	s.await(t, "[ERROR]", "user.err", "one")
	s.await(t, "[ERROR]", "user.err", "two")
}

// await waits until a line of the log has all words.
func (s *server) await(t *testing.T, words ...string) {
	t.Helper()
	for give := time.Now().Add(patience); time.Now().Before(give); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(s.log.String()) {
			missing := false
			for _, word := range words {
				missing = missing || !strings.Contains(line, word)
			}
			if !missing {
				return
			}
		}
	}
	t.Fatalf("no line of the log has all of %q:\n%s", words, s.log)
}

// TestTFTP has Debian's client read and write.
func TestTFTP(t *testing.T) {
	tftp := tooltest.Find(t, "tftp", "Debian: apt-get install tftp-hpa")
	s := serve(t, "tftp", goServer(2, nil))
	port, dir := s.udpPort("tftp"), t.TempDir()
	for _, mode := range []string{"binary", "ascii"} {
		big := bytes.Repeat([]byte("0123456789\n\r\x00x\r\n"), 20_000)
		if mode == "ascii" {
			big = bytes.Repeat([]byte("0123456789abcdef\n"), 4_000)
		}
		for name, data := range map[string][]byte{"big": big, "empty": nil, "block": big[:512]} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			back := name + ".back"
			runAt(t, dir, "", tftp, "-m", mode, "127.0.0.1", port, "-c", "put", name, mode+name)
			runAt(t, dir, "", tftp, "-m", mode, "127.0.0.1", port, "-c", "get", mode+name, back)
			if got, err := os.ReadFile(filepath.Join(dir, back)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: found %d bytes, %v, wanted %d", mode, name, len(got), err, len(data))
			}
		}
	}
	out, _ := exec.Command(tftp, "127.0.0.1", port, "-c", "get", "nothing", filepath.Join(dir, "nothing")).
		CombinedOutput()
	if !strings.Contains(string(out), "no such file") {
		t.Errorf("found %q", out)
	}
}

// TestTFTPTwice: a request that comes twice has one transfer, and one socket that answers it. The
// same client's next request is another.
func TestTFTPTwice(t *testing.T) {
	s := serve(t, "tftp", goServer(2, nil))
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+s.udpPort("tftp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"motd", "motd", "nothing"} {
		if _, err := c.WriteTo([]byte("\x00\x01"+name+"\x00octet\x00"), to); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	from, b := map[string]string{}, make([]byte, 1<<10)
	for len(from) < 2 { // the answer, which may come again from where it came, and the error
		n, a, err := c.ReadFrom(b)
		if err != nil {
			t.Fatalf("behind %q: %v", from, err)
		}
		if from[a.String()] == "" {
			from[a.String()] = string(b[:n])
		}
	}
	kinds := map[byte]bool{}
	for _, text := range from {
		kinds[text[1]] = true
	}
	if len(kinds) != 2 {
		t.Errorf("found %q, wanted one that sends the file, and one that has none", from)
	}
}

// TestTFTPOptions has curl ask for what RFC 2347 and those behind it add.
func TestTFTPOptions(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	s := serve(t, "tftp", goServer(2, map[string]any{"max_memory": 300_000}))
	url := "tftp://127.0.0.1:" + s.udpPort("tftp") + "/"
	text := strings.Repeat("0123456789abcde\n", 10_000)
	for _, size := range []string{"8", "1024", "16384", "65464"} {
		if size == "8" {
			text = text[:1000]
		} else {
			text = strings.Repeat("0123456789abcde\n", 10_000)
		}
		run(t, text, curl, "--silent", "--show-error", "--tftp-blksize", size, "-T", "-", url+"file")
		out := run(t, "", curl, "--silent", "--show-error", "--tftp-blksize", size, url+"file")
		if out != text {
			t.Errorf("blocks of %s: found %d bytes, wanted %d", size, len(out), len(text))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, curl, "--silent", "--show-error", "-T", "-", url+"more")
	c.Stdin = strings.NewReader(strings.Repeat("x", 300_000))
	if out, err := c.CombinedOutput(); err == nil {
		t.Errorf("more than there is room for was taken: %s", out)
	}
}

// serveDNS serves the zone, and forwards to upstream; "" is nobody.
func serveDNS(t *testing.T, upstream string) *server {
	t.Helper()
	return serve(t, "libraries/dns", func(c *config.Config) {
		goServer(2, nil)(c)
		p := c.Plugins["dns"]
		p.Module = build(t, "libraries/dns")
		settings, _ := p.Config.(map[string]any) // else it panics
		settings["forward"] = upstream
		p.Allow.Connect = []string{"udp://127.0.0.1:*", "tcp://127.0.0.1:*"}
		c.Plugins["dns"] = p
	})
}

func TestDNS(t *testing.T) {
	dig := tooltest.Find(t, "dig", "Debian: apt-get install bind9-dnsutils")
	s := serveDNS(t, "")
	for _, c := range []struct{ question, want string }{
		{"www.example.test A", "192.0.2.1\n"},
		{"WWW.EXAMPLE.TEST. AAAA", "2001:db8::1\n"},
		{"ftp.example.test A", "www.example.test.\n192.0.2.1\n"},
		{"example.test MX", "10 mail.example.test.\n"},
		{"host.in.example.test TXT", "\"below a name that has no records\"\n"},
	} {
		for _, how := range []string{"+notcp +edns", "+notcp +noedns", "+notcp +bufsize=100", "+tcp"} {
			args := append(strings.Fields(c.question+" "+how), "@127.0.0.1", "+short", "+tries=1", "+timeout=30")
			port := s.udpPort("dns")
			if how == "+tcp" {
				port = s.port("dns")
			}
			if out := run(t, "", dig, append(args, "-p", port)...); out != c.want {
				t.Errorf("%s, %s: found %q, wanted %q", c.question, how, out, c.want)
			}
		}
	}
	for _, c := range []struct{ question, want string }{
		{"nothing.example.test A", "NXDOMAIN"},
		{"in.example.test A", "NOERROR"},
		{"mail.example.test AAAA", "NOERROR"},
		{"elsewhere.test A", "REFUSED"},
	} {
		args := append(strings.Fields(c.question), "@127.0.0.1", "+tries=1", "+timeout=30", "-p", s.udpPort("dns"))
		out := run(t, "", dig, args...)
		soa := strings.Contains(out, "SOA\tns.example.test.")
		if !strings.Contains(out, "status: "+c.want) || soa != (c.want != "REFUSED") {
			t.Errorf("%s: found %s, wanted %s", c.question, out, c.want)
		}
	}
}

// TestDNSMany has dnsperf ask a thousand questions.
func TestDNSMany(t *testing.T) {
	dnsperf := tooltest.Find(t, "dnsperf", "Debian: apt-get install dnsperf")
	s := serveDNS(t, "")
	names := strings.Repeat("www.example.test A\nftp.example.test A\nnothing.example.test A\nexample.test MX\n", 250)
	out := run(t, names, dnsperf, "-s", "127.0.0.1", "-p", s.udpPort("dns"), "-n", "1", "-q", "20", "-t", "50")
	if !strings.Contains(out, "Queries completed:    1000 (100.00%)") ||
		!strings.Contains(out, "NOERROR 750 (75.00%), NXDOMAIN 250 (25.00%)") {
		t.Errorf("found %s", out)
	}
}

// TestDNSForward asks about names of another server, which here is another of the same.
func TestDNSForward(t *testing.T) {
	dig := tooltest.Find(t, "dig", "Debian: apt-get install bind9-dnsutils")
	upstream := serve(t, "libraries/dns", func(c *config.Config) {
		goServer(1,
			map[string]any{"zone": "$ORIGIN other.test.\n@ 60 SOA ns host 1 60 60 60 60\nwww 60 A 192.0.2.9\n"})(c)
		p := c.Plugins["dns"]
		p.Module = build(t, "libraries/dns")
		c.Plugins["dns"] = p
	})
	s := serveDNS(t, upstream.addr["udp://dns"])
	ask := func(s *server, name string) string {
		return run(t, "", dig, "@127.0.0.1", "-p", s.udpPort("dns"), "+tries=1", "+timeout=30", name, "A")
	}
	if out := ask(s, "www.other.test"); !strings.Contains(out, "192.0.2.9") {
		t.Errorf("found %s", out)
	}
	if out := ask(s, "www.third.test"); !strings.Contains(out, "REFUSED") {
		t.Errorf("found %s", out)
	}
	nobody := "127.0.0.1:" + tooltest.FreePort(t)
	if out := ask(serveDNS(t, nobody), "www.other.test"); !strings.Contains(out, "SERVFAIL") {
		t.Errorf("found %s", out)
	}
}

// TestHTTP3 has a client of quic-go, which is native, talk to the server of it in the guest.
func TestHTTP3(t *testing.T) {
	s := serve(t, "libraries/http3", func(c *config.Config) {
		p := c.Plugins["http3"]
		p.Module = build(t, "libraries/http3")
		p.Limits.CallbackTime = 5 * time.Second
		c.Plugins["http3"] = p
	})
	client := filepath.Join(t.TempDir(), "client")
	goBuild(t, "libraries/http3/client", nil, "-o", client)
	_, rest, _ := strings.Cut(s.log.String(), "certificate: SHA-256 ")
	sum := strings.FieldsFunc(rest, func(c rune) bool { return !strings.ContainsRune("0123456789abcdef", c) })[0]
	url := "https://" + s.addr["udp://http3"]
	if out := run(t, "", client, "-sha256", sum, url+"/"); out != "hello over HTTP/3.0\n" {
		t.Errorf("found %q", out)
	}
	text := strings.Repeat("0123456789abcde\n", 1<<15)
	if out := run(t, text, client, "-sha256", sum, "-post", url+"/echo"); out != text {
		t.Errorf("found %d bytes, wanted %d", len(out), len(text))
	}
}

// truncating is a name server that has answers of 4,800 bytes: over UDP it says only that.
func truncating(t *testing.T) (addr string) {
	t.Helper()
	l, c := tcpAndUDP(t)
	t.Cleanup(func() {
		l.Close()
		c.Close()
	})
	answer := func(q []byte, cut bool) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(q); err != nil {
			t.Error(err)
		}
		m.Response, m.Truncated, m.Additionals = true, cut, nil
		for i := 0; !cut && i < 300; i++ {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, byte(i >> 8), byte(i)}},
			})
		}
		a, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return a
	}
	go func() {
		p := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(p)
			if err != nil {
				return // closed
			}
			if _, err := c.WriteTo(answer(p[:n], true), from); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			p := make([]byte, 1<<16)
			if n, err := c.Read(p); err == nil {
				a := answer(p[2:n], false)
				_, err = c.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...))
				if err != nil {
					t.Error(err)
				}
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// tcpAndUDP listens at one port for both.
func tcpAndUDP(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if c, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			return l, c
		}
		l.Close()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil, nil
}

// TestDNSForwardLong: an answer that does not fit a datagram is fetched, and told, over TCP.
func TestDNSForwardLong(t *testing.T) {
	dig := tooltest.Find(t, "dig", "Debian: apt-get install bind9-dnsutils")
	s := serveDNS(t, truncating(t))
	out := run(t, "", dig, "@127.0.0.1", "-p", s.port("dns"), "+tcp", "+tries=1", "+timeout=30", "+short", "long.test")
	if strings.Count(out, "\n") != 300 {
		t.Errorf("found %s", out)
	}
	for _, size := range []string{"1232", "65535"} { // no client gets more than 4096 bytes
		out = run(t, "", dig, "@127.0.0.1", "-p", s.udpPort("dns"), "+ignore", "+tries=1", "+timeout=30",
			"+bufsize="+size, "long.test")
		if !strings.Contains(out, "flags: qr tc rd") {
			t.Errorf("+bufsize=%s: found %s", size, out)
		}
	}
}
