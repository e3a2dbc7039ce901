package main

import (
	"strings"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

const users = `{"timeout": 10, "users": [
	{"login": "ann", "name": "Ann Example", "office": "2.07", "plan": "Read.\nWrite.\n\u001b[2J"},
	{"login": "bob"}]}`

func start() (*sdktest.Server, error) {
	return sdktest.Start(&factory{}, sdktest.Options{Config: users})
}

// Each query is cut everywhere.
func TestQueries(t *testing.T) {
	const ann = "Login: ann\r\nName: Ann Example\r\nOffice: 2.07\r\n"
	const all = "Login            Name                     Office\r\n" +
		"ann              Ann Example              2.07\r\n" +
		"bob\r\n"
	for input, want := range map[string]string{
		"\r\n":                       all,
		"\n":                         all,
		"/W\r\n":                     all,
		"ann\r\n":                    ann,
		"ANN\n":                      ann,
		"  ann \r\nbob\r\n":          ann,
		"/W ann\r\n":                 ann + "Plan:\r\nRead.\r\nWrite.\r\n.[2J\r\n",
		"/w bob\r\n":                 "Login: bob\r\nName: \r\nNo Plan.\r\n",
		"carl\r\n":                   "finger: carl: no such user.\r\n",
		"/Wann\r\n":                  "finger: /Wann: no such user.\r\n",
		"ann bob\r\n":                "finger: ann bob: no such user.\r\n",
		"\x1b]0;x\x07\u00e9\xff\r\n": "finger: .]0;x...: no such user.\r\n",
		"ann@example.org\r\n":        "Finger forwarding service denied.\r\n",
		"@\r\n":                      "Finger forwarding service denied.\r\n",
		"/W @a@b\r\n":                "Finger forwarding service denied.\r\n",
		strings.Repeat("x", 600):     "",
	} {
		r := sdktest.ChunkLaw(t, start, []byte(input))
		if r.Output != want || !r.Ended || r.Reason != wirehost.Done {
			t.Errorf("%q: found %s, wanted %q and the end", input, r, want)
		}
	}
}

func TestNobody(t *testing.T) {
	s, err := sdktest.Start(&factory{}, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	c.Send("\r\n")
	if got := c.Take(); got != "No one is here.\r\n" {
		t.Errorf("found %q", got)
	}
}

// A client that does not ask in time goes, however often it sends.
func TestTooLate(t *testing.T) {
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	c := s.Accept()
	s.Advance(9 * time.Second)
	c.Send("an")
	s.Advance(999 * time.Millisecond)
	if _, ended := c.Ended(); ended {
		t.Error("it ended before its time")
	}
	s.Advance(time.Millisecond)
	if r, ended := c.Ended(); !ended || r != wirehost.Done || s.Timers() > 0 {
		t.Errorf("found %v, ended %t, %d timers", r, ended, s.Timers())
	}
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"timeout": 0}`:                              "config.timeout: found 0",
		`{"users": [{"name": "Ann"}]}`:                `config.users.0.login: found "", wanted a name`,
		`{"users": [{"login": "a b"}]}`:               `found "a b"`,
		`{"users": [{"login": "a"}, {"login": "A"}]}`: `config.users.1.login: found "A", which is there already`,
	} {
		if _, err := sdktest.Start(&factory{}, sdktest.Options{Config: config}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, wanted %q", config, err, want)
		}
	}
}

// FuzzQuery: what is answered is lines of printable ASCII, and one of a query
// alone where it is of no user.
func FuzzQuery(f *testing.F) {
	f.Add("/W ann")
	f.Add("a@b@c")
	f.Add("\x1b[2J")
	s := &factory{config{Users: []user{{"ann", "Ann Example", "2.07", "Read."}}}}
	f.Fuzz(func(t *testing.T, line string) {
		text := s.answer(parse(line))
		body, ok := strings.CutSuffix(text, "\r\n")
		if !ok ||
			strings.ContainsFunc(strings.ReplaceAll(body, "\r\n", ""),
				func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			t.Errorf("%q: found %q", line, text)
		}
		if q := parse(line); s.find(q.name) == nil && q.name != "" && strings.Contains(body, "\r\n") {
			t.Errorf("%q: found lines %q", line, text)
		}
	})
}
