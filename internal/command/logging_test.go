package command

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// piped is the command, logging to a pipe whose other end is the test's.
type piped struct {
	*process
	pipe  *os.File
	lines *bufio.Scanner
}

func startPiped(t *testing.T, args ...string) *piped {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p := &process{t: t, cmd: exec.Command(binary, append(args, "--log-format=json")...), logs: make(chan string)}
	close(p.logs) // nobody reads them but the test
	p.cmd.Env = []string{"HOME=" + t.TempDir(), "WIREHOST_CACHE__DIR=" + cacheDir, "WIREHOST_ADMIN__LISTEN=off"}
	p.cmd.Stderr, p.cmd.Stdout = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // it may have ended
			p.end()
		}
	})
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &piped{p, r, bufio.NewScanner(r)}
}

// await reads up to the line that has a text.
func (p *piped) await(text string) string {
	p.t.Helper()
	for p.lines.Scan() {
		if line := p.lines.Text(); strings.Contains(line, text) {
			return line
		}
	}
	p.t.Fatalf("the log ended without %q: %v", text, p.lines.Err())
	return ""
}

// address is where the built-in echo listens.
func (p *piped) address() string {
	p.t.Helper()
	_, rest, _ := strings.Cut(p.await(`"msg":"ready"`), "tcp://")
	address, _, _ := strings.Cut(rest, " ")
	return address
}

// A log whose reader has gone costs lines, and nothing else.
func TestLogReaderGone(t *testing.T) {
	skipWithoutSignals(t)
	p := startPiped(t, append(anyPorts, "--trace-abi=echo")...)
	c := dial(t, p.address())
	exchange(t, c, "before")
	p.pipe.Close()
	for range 10 {
		exchange(t, c, "meanwhile")
	}
	p.signal(syscall.SIGHUP)
	after := dial(t, c.RemoteAddr().String())
	exchange(t, after, "after")
	c.Close()
	after.Close()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0", code)
	}
}

// A log whose reader stands still holds up no connection and no end. When it
// reads again, it is told what it has missed.
func TestLogReaderStandsStill(t *testing.T) {
	skipWithoutSignals(t)
	p := startPiped(t, append(anyPorts, "--trace-abi=echo")...)
	address := p.address()
	c := dial(t, address)
	for range 1000 { // each is some lines: together more than the pipe takes
		exchange(t, c, "one of many")
	}
	for n := 0; n < 2<<20; n += 4 * 200 { // and more than the queue does
		exchange(t, c, "one of more")
	}
	exchange(t, dial(t, address), "another connection")
	p.await("log lines were lost: nobody read them")
	exchange(t, c, "with a reader")
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitForced {
		t.Errorf("found exit code %d, wanted %d", code, exitForced)
	}
}

// Where nobody reads, the second signal ends the command all the same, and the first
// where nothing is open.
func TestEndWithoutLogReader(t *testing.T) {
	skipWithoutSignals(t)
	for _, c := range []struct {
		open bool
		want int
	}{{true, exitForced}, {false, exitFine}} {
		p := startPiped(t, append(anyPorts, "--trace-abi=echo")...)
		conn := dial(t, p.address())
		for range 1000 {
			exchange(t, conn, "one of many")
		}
		if !c.open {
			conn.Close()
		}
		p.signal(syscall.SIGTERM)
		if c.open {
			p.signal(os.Interrupt) // another one: two of the same may become one
		}
		if code := p.end(); code != c.want {
			t.Errorf("found exit code %d, wanted %d", code, c.want)
		}
	}
}

// A start that fails says so where nobody reads, and ends.
func TestFailedStartWithoutLogReader(t *testing.T) {
	skipWithoutSignals(t)
	p := startPiped(t, "serve", "--config", "gone.yaml")
	p.pipe.Close()
	if code := p.end(); code != exitFailed {
		t.Errorf("found exit code %d, wanted %d", code, exitFailed)
	}
}

func TestRelay(t *testing.T) {
	hup, term := os.Signal(syscall.SIGHUP), os.Signal(syscall.SIGTERM)
	for _, c := range []struct {
		name   string
		reload bool
		from   []os.Signal
		to     int // are passed on, where nobody takes them
		exits  bool
	}{
		{"reloads are one", true, []os.Signal{hup, hup, hup, hup, hup}, 2, false},
		{"what ends has room", true, []os.Signal{hup, hup, hup, term, hup}, 3, false},
		{"a second one", true, []os.Signal{term, hup, os.Interrupt, term}, 3, true},
		{"a terminal that has gone", false, []os.Signal{hup, hup}, 2, true},
	} {
		from, to := make(chan os.Signal), make(chan os.Signal, 4)
		done, exited, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			relay(from, to, done, c.reload, 0, new(atomic.Int32), func() { close(exited) })
		}()
		for _, sig := range c.from {
			from <- sig
		}
		if c.exits {
			<-exited
		}
		close(done)
		<-ended
		if len(to) != c.to {
			t.Errorf("%s: %d signals were passed on, wanted %d", c.name, len(to), c.to)
		}
		select {
		case <-exited:
			if !c.exits {
				t.Errorf("%s: it ended", c.name)
			}
		default:
		}
	}
}

// What the lost lines are told with is of the log's own format.
func TestLostLines(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs}
	a.queue()
	a.lost(3, 300)
	a.unqueue()
	a.unqueue() // does nothing
	want := "[ERROR] log lines were lost: nobody read them: lines=3 bytes=300\n"
	if got := errs.String(); !strings.Contains(got, want) {
		t.Errorf("found %q", got)
	}
}
