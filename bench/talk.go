package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/wirehost/wirehost/bench/same"
)

// talks are whole dialogues with the servers of package same, each on a connection of
// its own. What comes back is compared.
var talks = map[string]func(net.Conn) error{"http": talkHTTP, "smtp": talkSMTP, "ssh": talkSSH} // never changed

// compare holds what was said against what was wanted.
func compare(what, got, want string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case got != want:
		return fmt.Errorf("%s: found %.60q, wanted %.60q", what, got, want)
	}
	return nil
}

// talkHTTP asks twice on a connection.
func talkHTTP(c net.Conn) error {
	t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	defer t.CloseIdleConnections()
	for range 2 {
		r, err := (&http.Client{Transport: t}).Get("http://bench/")
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close() // it was only read
		if err := compare("http", string(got), fmt.Sprintf("hello %s\n", c.LocalAddr()), err); err != nil {
			return err
		}
	}
	return nil
}

// talkSSH logs in and runs three commands, each with 4 KiB that come back.
func talkSSH(c net.Conn) error {
	conn, channels, requests, err := ssh.NewClientConn(c, "", &ssh.ClientConfig{
		User: "bench", Auth: []ssh.AuthMethod{ssh.PublicKeys(same.Key())},
		HostKeyCallback: ssh.FixedHostKey(same.Key().PublicKey()),
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	for n := range 3 {
		s, err := client.NewSession()
		if err != nil {
			return err
		}
		text := make([]byte, 4<<10)
		fill(text, uint64(n))
		s.Stdin = bytes.NewReader(text)
		got, err := s.Output("cat")
		if err := compare("ssh", string(got), string(text), err); err != nil {
			return err
		}
	}
	return nil
}

// talkSMTP delivers three mails of 4 KiB.
func talkSMTP(c net.Conn) error {
	t := textproto.NewConn(c)
	defer t.Close()
	if _, _, err := t.ReadResponse(220); err != nil {
		return err
	}
	say := func(code int, line string) (string, error) {
		if err := t.PrintfLine("%s", line); err != nil {
			return "", err
		}
		_, text, err := t.ReadResponse(code)
		return text, err
	}
	if _, err := say(250, "EHLO bench"); err != nil {
		return err
	}
	for range 3 {
		text := strings.Repeat(fmt.Sprintf("line %d\r\n", rand.Uint64()), 160)
		for _, line := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>"} {
			if _, err := say(250, line); err != nil {
				return err
			}
		}
		if _, err := say(354, "DATA"); err != nil {
			return err
		}
		got, err := say(250, text+".")
		if err := compare("smtp", got, fmt.Sprint("2.0.0 ", crc32.ChecksumIEEE([]byte(text))), err); err != nil {
			return err
		}
	}
	_, err := say(221, "QUIT")
	return err
}

// wrk drives an HTTP server with the program of that name.
func (b *bench) wrk(c *benchCase, s server) (sample, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, skipped{fmt.Errorf("no wrk (Debian's wrk): %w", err)}
	}
	return b.loaded(c, s, func(p *process, requests int) (sample, time.Duration, error) {
		seconds := max(1, (requests+c.rate/2)/c.rate)
		out, used, err := client(b.ctx, b.o.clientCPU, b.runTimeout(), "wrk", "-t1", "--latency",
			fmt.Sprint("-c", c.conns), fmt.Sprint("-d", seconds), "http://"+p.addr+"/")
		if err != nil {
			return nil, 0, err
		}
		m, err := parseWrk(out)
		return m, used, err
	})
}

var wrkLines = map[string]*regexp.Regexp{ // never changed
	counted: regexp.MustCompile(`(?m)^\s*(\d+)() requests in `),
	rps:     regexp.MustCompile(`(?m)^Requests/sec:\s+([\d.]+)()`),
	p50:     regexp.MustCompile(`(?m)^\s+50%\s+([\d.]+)(us|ms|s)$`),
	p99:     regexp.MustCompile(`(?m)^\s+99%\s+([\d.]+)(us|ms|s)$`),
}

// parseWrk reads wrk's report.
func parseWrk(out string) (sample, error) {
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return nil, fmt.Errorf("wrk: found errors, wanted none: %s", out)
	}
	m := sample{}
	for name, line := range wrkLines {
		found := line.FindStringSubmatch(out)
		if found == nil {
			return nil, fmt.Errorf("wrk: found no %s in %q", name, out)
		}
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return nil, fmt.Errorf("wrk: %w", err)
		}
		m[name] = v * map[string]float64{"": 1, "us": 1e-3, "ms": 1, "s": 1e3}[found[2]]
	}
	return m, nil
}
