package examples

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

func TestRedisCLI(t *testing.T) {
	cli := tooltest.Find(t, "redis-cli", "Debian: apt-get install redis-tools")
	s := serve(t, "resp", nil)
	const script = "set k 1 ex 100\nincr k\nget k\nttl k\nmset a 1 b 2\n" +
		"mget a b c\nset k x nx\ndel a k\nexists a b\nget\n"
	const want = "OK\n2\n2\n100\nOK\n1\n2\n\n\n2\n1\nERR wrong number of arguments for 'get' command\n\n"
	if got := run(t, script, cli, "-p", s.port("resp")); got != want {
		t.Errorf("found %q\nwanted %q", got, want)
	}
}

// TestRedisBenchmark also has data and connections move while it runs.
func TestRedisBenchmark(t *testing.T) {
	benchmark := tooltest.Find(t, "redis-benchmark", "Debian: apt-get install redis-tools")
	s := serve(t, "resp", nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			if _, err := s.ReloadPlugin(context.Background(), "resp", true); err != nil {
				t.Error(err)
			}
		}
	}()
	out := run(t, "", benchmark, "-p", s.port("resp"), "-t", "ping,set,get,incr,mset", "-n", "20000", "-c", "20", "-P",
		"16", "-r", "1000", "-q")
	<-done
	for _, test := range []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"} {
		if !strings.Contains(out, test) {
			t.Errorf("%s is missing in\n%s", test, out)
		}
	}
	if strings.Contains(strings.ToLower(out), "err") || strings.Contains(out, "WARN") {
		t.Errorf("found %s", out)
	}
	t.Logf("%s", strings.ReplaceAll(out, "\r", "\n"))
}

// TestRespFull fills it, from many connections at a time, and it goes on.
func TestRespFull(t *testing.T) {
	s := serve(t, "resp", nil)
	var clients []*client
	mega := strings.Repeat("x", 1<<20)
	for range 40 { // each with half a request of 1 MiB
		c := s.dial(t, "resp")
		c.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n" + mega[:1<<19])
		clients = append(clients, c)
	}
	c := s.dial(t, "resp")
	stored, full := 0, 0
	for i := range 3000 { // of growing values, so that none fits another's place
		value := mega[:100*i]
		fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$%d\r\n%d\r\n$%d\r\n%s\r\n", len(fmt.Sprint(i)), i, len(value), value)
		line, err := c.r.ReadString('\n')
		switch {
		case line == "+OK\r\n":
			stored++
		case strings.HasPrefix(line, "-OOM command"):
			full++
		case strings.HasPrefix(line, "-OOM too much"): // the others' requests
			c = s.dial(t, "resp")
		default:
			t.Fatalf("%d: found %q, %v\n%s", i, line, err, s.log)
		}
	}
	if stored < 400 || full < 100 {
		t.Errorf("stored %d, refused %d", stored, full)
	}
	for _, c := range clients {
		c.Close()
	}
	if _, err := s.ReloadPlugin(context.Background(), "resp", true); err != nil {
		t.Errorf("reload of a full store: %v", err)
	}
	c.send("*2\r\n$6\r\nEXISTS\r\n$1\r\n1\r\n")
	c.expect(":1\r\n")
}
