package transcript

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	tr, err := Parse("t", `# a comment
config {"a": [1, "x"]}

send "he" "llo\r\n"   # two are one
send hex 00 ff10
bob: connect
bob: expect "\x00"
expect nothing
expect close
wait 1m5s
bob: reset
`)
	if err != nil {
		t.Fatal(err)
	}
	if string(tr.Config) != `{"a": [1, "x"]}` || len(tr.steps) != 8 {
		t.Fatalf("%+v", tr)
	}
	if string(tr.steps[0].data) != "hello\r\n" || string(tr.steps[1].data) != "\x00\xff\x10" ||
		tr.steps[2].conn != "bob" || tr.steps[0].line != 4 {
		t.Errorf("%+v", tr.steps)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text         string
		line, column int
	}{
		{"", 1, 1},
		{"# nothing\n", 1, 1},
		{"shout \"x\"", 1, 1},
		{"send", 1, 5},
		{"send x", 1, 6},
		{"send \"x", 1, 6},
		{"send \"\\q\"", 1, 6},
		{"send hex 0", 1, 10},
		{"send hex", 1, 6},
		{"\n\nsend \"x\" y", 3, 10},
		{"wait", 1, 5},
		{"wait long", 1, 6},
		{"wait -1s", 1, 6},
		{"send \"x\"\nconfig {}", 2, 1},
		{"config {", 1, 9},
		{"assets", 1, 7},
		{"assets  ", 1, 9},
		{"send \"x\"\nassets a", 2, 1},
		{"assets a\nassets b", 2, 1},
		{"bob: assets a", 1, 6},
		{"config", 1, 7},
		{"config {\"a\": }", 1, 14},
		{"config {} {}", 1, 11},
		{": send \"x\"", 1, 1},
		{"a b: send \"x\"", 1, 1},
		{"expect", 1, 7},
		{"expect metric", 1, 14},
		{"expect metric x", 1, 16},
		{"expect metric x y", 1, 17},
		{"datagram", 1, 9},
		{"expect datagram x", 1, 17},
		{"close now", 1, 7},
		{"reload now", 1, 8},
		{"tls both", 1, 5},
		{"tls server client", 1, 12},
		{"accept tcp://127.0.0.1:5432", 1, 1},
		{"db: accept", 1, 11},
		{"db: accept 127.0.0.1:5432", 1, 12},
		{"db: accept tcp://localhost:5432", 1, 12},
		{"db: accept tls://127.0.0.1:5432", 1, 12},
	} {
		_, err := Parse("t", c.text)
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || e.Column != c.column || e.Found == "" || e.Wanted == "" {
			t.Errorf("%q: %v, wanted an error at %d:%d", c.text, err, c.line, c.column)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("config {}\nbob: send \"x\" hex\nexpect close\nwait 1s")
	f.Add("send hex 00 # x")
	f.Add("db: accept tcp://127.0.0.1:5432\nreload\ntls server")
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := Parse("f", text)
		if (tr == nil) == (err == nil) {
			t.Fatal("neither, or both")
		}
	})
}
