package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// process is the command, running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer // to be read after end
	logs   chan string  // stderr's lines; closed at its end

	mu  sync.Mutex
	all []string
}

// start runs the command. Its configuration is args' alone, and it logs JSON.
// The default administration would be every run's: it is off.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startIn(t, []string{"WIREHOST_ADMIN__LISTEN=off"}, args...)
}

// startIn is start with more of an environment.
func startIn(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, append(args, "--log-format=json")...), logs: make(chan string, 10000)}
	p.cmd.Env = append([]string{"HOME=" + t.TempDir(), "WIREHOST_CACHE__DIR=" + cacheDir}, env...)
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.logs)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.all = append(p.all, lines.Text())
			p.mu.Unlock()
			p.logs <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // it may have ended
			p.end()
		}
	})
	return p
}

// stderr is what was logged so far.
func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.all, "\n")
}

// entry is a line of the log.
type entry map[string]any

func (e entry) text(key string) string {
	s, _ := e[key].(string)
	return s
}

// await waits for the entry whose message begins so.
func (p *process) await(message string) entry {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case line, ok := <-p.logs:
			if !ok {
				p.t.Fatalf("it ended without %q:\n%s", message, p.stderr())
			}
			var e entry
			if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.text("msg"), message) {
				return e
			}
		case <-timeout.C:
			p.t.Fatalf("no %q in %s:\n%s", message, patience, p.stderr())
		}
	}
}

// ready waits until it serves, and returns the addresses.
func (p *process) ready() []string {
	p.t.Helper()
	var list []string
	for _, s := range strings.Fields(p.await("ready").text("listening")) {
		list = append(list, strings.TrimPrefix(s, "tcp://"))
	}
	return list
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the process's end and returns its exit code, -1 for a signal.
func (p *process) end() int {
	p.t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() }) // the exit code tells
	defer kill.Stop()
	for range p.logs { // Wait must not close the pipe before all is read
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// dial connects to an address.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange writes text and demands the same bytes back.
func exchange(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		if err != nil {
			t.Fatalf("found %q, %v, wanted %q", got[:n], err, text)
		}
		n += m
	}
	if string(got) != text {
		t.Errorf("found %q, wanted %q", got, text)
	}
}
