package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/exampletest"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func fresh(c *exampletest.Clock) *factory {
	f := newFactory()
	f.now = c.Now
	return f
}

func start(config string) func() (*sdktest.Server, error) {
	return func() (*sdktest.Server, error) {
		return sdktest.Start(fresh(&exampletest.Clock{At: time.Unix(1e9, 0)}), sdktest.Options{Config: config})
	}
}

func open(t *testing.T, config string) (*sdktest.Server, *sdktest.Conn) {
	t.Helper()
	s, err := start(config)()
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Accept()
}

// request is a request as clients send it.
func request(args ...string) string {
	b := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		b += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

func ask(t *testing.T, c *sdktest.Conn, want string, words ...string) {
	t.Helper()
	c.Send(request(words...))
	if got := c.Take(); got != want+"\r\n" {
		t.Errorf("%.80q: found %.200q, wanted %.200q", words, got, want)
	}
}

func TestCommands(t *testing.T) {
	_, c := open(t, "")
	for _, one := range []struct{ request, want string }{
		{"PING", "+PONG"},
		{"ping hello", "$5\r\nhello"},
		{"ECHO x", "$1\r\nx"},
		{"GET k", "$-1"},
		{"SET k v", "+OK"},
		{"GET k", "$1\r\nv"},
		{"SET k w NX", "$-1"},
		{"SET l w XX", "$-1"},
		{"SET k w xx", "+OK"},
		{"SET l m nx", "+OK"},
		{"MGET k none l", "*3\r\n$1\r\nw\r\n$-1\r\n$1\r\nm"},
		{"EXISTS k k none l", ":3"},
		{"DEL k none k", ":1"},
		{"INCR n", ":1"},
		{"INCR n", ":2"},
		{"DECR n", ":1"},
		{"GET n", "$1\r\n1"},
		{"DECR d", ":-1"},
		{"INCR l", strings.TrimSpace(errNumber)},
		{"SET n 9223372036854775807", "+OK"},
		{"INCR n", "-ERR increment or decrement would overflow"},
		{"SET n -9223372036854775808", "+OK"},
		{"DECR n", "-ERR increment or decrement would overflow"},
		{"SET n 9223372036854775808", "+OK"},
		{"INCR n", strings.TrimSpace(errNumber)},
		{"MSET a 1 b 2 a 3", "+OK"},
		{"MGET a b", "*2\r\n$1\r\n3\r\n$1\r\n2"},
		{"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
		{"GET", "-ERR wrong number of arguments for 'get' command"},
		{"GET a b", "-ERR wrong number of arguments for 'get' command"},
		{"TTL none", ":-2"},
		{"TTL a", ":-1"},
		{"EXPIRE none 5", ":0"},
		{"EXPIRE a x", strings.TrimSpace(errNumber)},
		{"EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
		{"EXPIRE a -9223372036854775807", "-ERR invalid expire time in 'expire' command"},
		{"EXPIRE a 5", ":1"},
		{"TTL a", ":5"},
		{"EXPIRE a -1", ":1"},
		{"EXISTS a", ":0"},
		{"SET a 1 EX 0", "-ERR invalid expire time in 'set' command"},
		{"SET a 1 EX x", strings.TrimSpace(errNumber)},
		{"SET a 1 EX", strings.TrimSpace(errSyntax)},
		{"SET a 1 EX 5 PX 5", strings.TrimSpace(errSyntax)},
		{"SET a 1 NX XX", strings.TrimSpace(errSyntax)},
		{"SET a 1 PX 1600 NX", "+OK"},
		{"TTL a", ":2"},
		{"COMMAND DOCS", "*0"},
		{"COMMAND COUNT", ":17"},
		{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n"},
		{"CONFIG SET save x", "-ERR CONFIG has GET alone here"},
		{"NONSENSE", "-ERR unknown command 'NONSENSE', with args beginning with: "},
		{"NONSENSE a\r\n \"b", "-ERR unknown command 'NONSENSE', with args beginning with: 'a  ' '\"b' "},
		{"SET n 05", "+OK"},
		{"INCR n", strings.TrimSpace(errNumber)},
		{"SET n +5", "+OK"},
		{"INCR n", strings.TrimSpace(errNumber)},
		{"SET n -0", "+OK"},
		{"INCR n", strings.TrimSpace(errNumber)},
		{"EXPIRE n 010", strings.TrimSpace(errNumber)},
		{"SET a 1 EX 5 EX 9", "+OK"},
		{"TTL a", ":9"},
		{"SET a 1 EX x NONSENSE", strings.TrimSpace(errSyntax)}, // all of it is read before any of it is looked at
		{"SET a 1 EX 0 PX 5", strings.TrimSpace(errSyntax)},
	} {
		ask(t, c, one.want, strings.Split(one.request, " ")...)
	}
}

func TestExpiry(t *testing.T) {
	clock := &exampletest.Clock{At: time.Unix(1e9, 0)}
	s, err := sdktest.Start(fresh(clock), sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	ask(t, c, "+OK", "SET", "k", "v", "PX", "1500")
	ask(t, c, ":1", "INCR", "n")
	ask(t, c, ":1", "EXPIRE", "n", "10")
	clock.At = clock.At.Add(1499 * time.Millisecond)
	ask(t, c, "$1\r\nv", "GET", "k")
	ask(t, c, ":2", "INCR", "n") // and its time goes on
	clock.At = clock.At.Add(time.Millisecond)
	ask(t, c, "$-1", "GET", "k")
	ask(t, c, ":9", "TTL", "n") // 8.5 s, rounded as Redis does
}

func TestFraming(t *testing.T) {
	big := strings.Repeat("x", longestBulk)
	for _, one := range []struct {
		name, input, want string
		closes            bool
	}{
		{"pipelined", request("SET", "k", "a\r\nb") + request("GET", "k") + "*2\r\n$3\r\nGET",
			"+OK\r\n$4\r\na\r\nb\r\n", false},
		{"inline", "SET k v\r\n\r\nGET  k \nPING\r\n", "+OK\r\n$1\r\nv\r\n+PONG\r\n", false},
		{"quotes",
			`PING "a b"` + "\n" + `PI"NG"` + "\r\n" + `ping "a\"\x41\n\q\\" ` + "\n" + `PING 'a\'"\n'` + "\n" +
				`PING a"b"` + "\nPING \"\"\n\"\"\nPING \u00a0\n",
			"$3\r\na b\r\n+PONG\r\n$6\r\na\"A\nq\\\r\n$5\r\na'\"\\n\r\n$2\r\nab\r\n$0\r\n\r\n" +
				"-ERR unknown command '', with args beginning with: \r\n$2\r\n\u00a0\r\n", false},
		{"hex", `PING "\x4\xzz\x"` + "\n", "$6\r\nx4xzzx\r\n", false},
		{"open quote", "PING 'a\r\nPING\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n", true},
		{"backslash at the end", `PING "a\` + "\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n", true},
		{"behind a quote", `PING "a"b` + "\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n", true},
		{"browser", "GET / HTTP/1.1\r\nHost: x\r\nPING\r\n", "-ERR wrong number of arguments for 'get' command\r\n",
			true},
		{"browser's post", "POST / HTTP/1.1\r\nPING\r\n", "", true},
		{"signed count", "*+1\r\n", "-ERR Protocol error: invalid multibulk length\r\n", true},
		{"zero in front", "*1\r\n$04\r\n", "-ERR Protocol error: invalid bulk length\r\n", true},
		{"long count", "*" + strings.Repeat("1", longestLine+10), "-ERR Protocol error: too big mbulk count string\r\n",
			true},
		{"long length", "*1\r\n$" + strings.Repeat("1", longestLine+10),
			"-ERR Protocol error: too big bulk count string\r\n", true},
		{"no request", "*0\r\n*-1\r\nPING\r\n", "+PONG\r\n", false},
		{"empty argument", request("ECHO", ""), "$0\r\n\r\n", false},
		{"quit", request("QUIT") + request("PING"), "+OK\r\n", true},
		{"no count", "*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n", true},
		{"too many", "*1025\r\n", "-ERR Protocol error: invalid multibulk length\r\n", true},
		{"no dollar", "*1\r\n:1\r\nPING\r\n", "-ERR Protocol error: expected '$', got ':'\r\n", true},
		{"empty header", "*1\r\n\r\n", "-ERR Protocol error: expected '$', got ' '\r\n", true},
		{"negative", "*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n", true},
		{"too long", "*1\r\n$1048577\r\n", "-ERR Protocol error: invalid bulk length\r\n", true},
		{"overflow", "*1\r\n$99999999999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n", true},
		{"no CRLF", "*1\r\n$4\r\nPINGxx", "-ERR Protocol error: expected CRLF behind a bulk string\r\n", true},
		{"long line", "PING " + strings.Repeat("y", longestLine), "-ERR Protocol error: too big inline request\r\n",
			true},
	} {
		t.Run(one.name, func(t *testing.T) {
			next := func() wirehost.Factory { return fresh(&exampletest.Clock{At: time.Unix(1e9, 0)}) }
			for _, r := range []sdktest.Result{
				sdktest.ChunkLaw(t, start(""), []byte(one.input)),
				sdktest.ReloadLaw(t, start(""), next, []byte(one.input)),
			} {
				if r.Output != one.want || r.Disconnecting != one.closes {
					t.Errorf("found %s\nwanted %q, closes %t", r, one.want, one.closes)
				}
			}
		})
	}
	_, c := open(t, "")
	ask(t, c, "+OK", "SET", "k", big)
	ask(t, c, fmt.Sprintf("$%d\r\n%s", len(big), big), "GET", "k")
}
