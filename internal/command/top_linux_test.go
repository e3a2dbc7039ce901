package command

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal, and what was written to it.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	mu            sync.Mutex
	text          bytes.Buffer
	more          chan struct{}
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be opened: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	w := &terminal{t: t, master: master, slave: slave, more: make(chan struct{}, 1)}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.text.Write(b[:n])
			w.mu.Unlock()
			select {
			case w.more <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

// settings are the terminal's.
func (w *terminal) settings() unix.Termios {
	w.t.Helper()
	s, err := unix.IoctlGetTermios(int(w.slave.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return *s
}

// await waits until a text was written.
func (w *terminal) await(text string) {
	w.t.Helper()
	late := time.After(patience)
	for {
		w.mu.Lock()
		have := w.text.String()
		w.mu.Unlock()
		if strings.Contains(have, text) {
			return
		}
		select {
		case <-w.more:
		case <-late:
			w.t.Fatalf("found no %q in %q", text, have)
		}
	}
}

// top runs it on the terminal.
func (w *terminal) top(name string, args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := exec.Command(binary, append([]string{"top"}, args...)...)
	cmd.Env = []string{"TERM=" + name, "HOME=" + w.t.TempDir(), "WIREHOST_CACHE__DIR=" + cacheDir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = w.slave, w.slave, w.slave
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()
		}
	})
	return cmd
}

// However it ends, the terminal is as it was.
func TestTopLeavesTheTerminal(t *testing.T) {
	o, server, _, _ := builtins(t)
	for _, tc := range []struct {
		name, term string
		end        func(w *terminal, cmd *exec.Cmd) error
	}{
		{"q", "xterm", func(w *terminal, _ *exec.Cmd) error { _, err := w.master.WriteString("q"); return err }},
		{"Ctrl-C", "xterm", func(w *terminal, _ *exec.Cmd) error {
			_, err := w.master.WriteString("\x03")
			return err
		}},
		{"TERM", "xterm", func(_ *terminal, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }},
		{"HUP", "xterm", func(_ *terminal, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGHUP) }},
		{"q on a dumb one", "dumb", func(w *terminal, _ *exec.Cmd) error {
			_, err := w.master.WriteString("q\n")
			return err
		}},
		{"the host goes away", "xterm", func(w *terminal, _ *exec.Cmd) error {
			server.signal(syscall.SIGKILL)
			w.await("no answer: no host answers at")
			_, err := w.master.WriteString("q")
			return err
		}},
	} {
		w := openTerminal(t)
		before := w.settings()
		cmd := w.top(tc.term, "--admin="+o.endpoint, "--interval=100ms")
		w.await("linereceiver/1")
		if raw := w.settings(); (raw == before) != (tc.term == "dumb") {
			t.Errorf("%s: found the terminal's settings changed: %v", tc.name, raw != before)
		}
		if err := tc.end(w, cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: found %v", tc.name, err)
		}
		if after := w.settings(); after != before {
			t.Errorf("%s: found the terminal's settings %+v, wanted %+v", tc.name, after, before)
		}
		if tc.term == "dumb" {
			w.mu.Lock()
			if text := w.text.String(); strings.Contains(text, "\x1b") {
				t.Errorf("%s: found an escape in %q", tc.name, text)
			}
			w.mu.Unlock()
			continue
		}
		w.await(leaveScreen)
	}
}
