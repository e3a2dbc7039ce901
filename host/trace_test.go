package host

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// calls are the traced calls so far.
func (l *logs) calls() []string {
	var list []string
	for _, line := range l.all("abi") {
		text := line["way"].(string) + " " + line["call"].(string)
		if result, ok := line["result"]; ok {
			text += " = " + result.(string)
		}
		list = append(list, text)
	}
	return list
}

func TestTrace(t *testing.T) {
	s := newServer(t, configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationShared}))
	s.o.Trace = []string{"guest"}
	s.start(t)
	c := dial(t, s.addrs[0])
	send(t, c, "hello")
	expect(t, c, "hello")
	want := []string{
		"<- receiveBuffer() = 0x400+65536",
		"<- connectionMade(1)",
		`-> transport.write(1, 1024, 5 "hello") = 5`,
		`<- dataReceived(1, 1024, 5 "hello")`,
	}
	s.logs.await(t, "abi", len(want))
	if got := s.logs.calls(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// Of one connection alone, and of none.
	second := dial(t, s.addrs[0])
	s.await(t, 2)
	if err := s.Trace("guest", 2, true); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Plugin("guest"); err != nil || info.Trace != "guest/2" {
		t.Errorf("got %q, %v", info.Trace, err)
	}
	s.logs.forget()
	send(t, c, "not this")
	expect(t, c, "not this")
	send(t, second, "this")
	expect(t, second, "this")
	s.logs.await(t, "abi", 2)
	if err := s.Trace("guest", 0, false); err != nil {
		t.Fatal(err)
	}
	send(t, second, "nor this")
	expect(t, second, "nor this")
	if got := s.logs.calls(); len(got) != 2 || !strings.Contains(got[1], `dataReceived(2, 1024, 4 "this")`) {
		t.Errorf("got %q", got)
	}
	if err := s.Trace("nobody", 0, true); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v for a plugin that is not there", err)
	}
	if err := s.Trace("guest", 3, true); !errors.Is(err, ErrNoConnection) {
		t.Errorf("got %v for a connection that is not there", err)
	}
}

// A trace goes on in the next version.
func TestTraceAcrossReload(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(numbered("testdata/counter.wasm", isolation, 0)))
			c := &counting{Conn: dial(t, s.addrs[0])}
			if err := c.roundTrip(1); err != nil {
				t.Fatal(err)
			}
			if err := s.Trace("guest", 1, true); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ReloadPlugin(context.Background(), "guest", true); err != nil {
				t.Fatal(err)
			}
			s.logs.forget()
			if err := c.roundTrip(1); err != nil {
				t.Fatal(err)
			}
			s.logs.await(t, "abi", 2)
		})
	}
}

// lineWriter takes lines of a trace.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) { w <- string(b); return len(b), nil }

// TestTraceTo: a trace goes to who asked for it, and not to the log, until the asker is gone or
// another takes its place.
func TestTraceTo(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: "testdata/echo.wasm", Isolation: config.IsolationShared}))
	c := dial(t, s.addrs[0])
	send(t, c, "hello")
	expect(t, c, "hello")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lines, ended := make(lineWriter, 100), make(chan error, 2)
	go func() { ended <- s.TraceTo(ctx, "guest", 1, lines) }()
	s.logs.await(t, "trace", 1)
	for len(lines) == 0 { // the loops follow the trace behind that line
		send(t, c, "x")
		expect(t, c, "x")
	}
	if line := <-lines; !strings.Contains(line, ` -> transport.write(1, 1024, 1 "x") = 1 `) ||
		!strings.HasSuffix(line, "\n") {
		t.Errorf("found %q", line)
	}
	if n := len(s.logs.all("abi")); n != 0 {
		t.Errorf("found %d lines of it in the log", n)
	}
	go func() { ended <- s.TraceTo(ctx, "guest", 0, lines) }()
	if err := <-ended; !errors.Is(err, errTraceTaken) {
		t.Errorf("found %v, wanted %v", err, errTraceTaken)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("found %v", err)
	}
	if info, err := s.Plugin("guest"); err != nil || info.Trace != "" {
		t.Errorf("found %q, %v, wanted no trace", info.Trace, err)
	}
	if err := s.TraceTo(context.Background(), "guest", 9, nil); !errors.Is(err, ErrNoConnection) {
		t.Errorf("found %v, wanted %v", err, ErrNoConnection)
	}
}
