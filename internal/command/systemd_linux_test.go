package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager plays systemd's part for one service: it starts it as the unit files say, hears
// what its main process tells, and does what is asked by the programs that stand for
// systemctl and journalctl. Its root is a folder.
type manager struct {
	t       *testing.T
	root    string
	swap    *strings.Replacer // of paths and ports in unit files
	notify  *net.UnixConn
	journal *os.File
	sockets []*os.File // of the socket unit
	names   []string   // theirs

	mu    sync.Mutex
	main  int                 // the main process; 0 = none
	told  map[string][]string // values by name, of what main processes have told
	more  chan struct{}       // closed when more is told
	first *exec.Cmd           // what was started last; it ends when all that it has started do
}

func newServiceManager(t *testing.T, root string, swap *strings.Replacer) *manager {
	t.Helper()
	m := &manager{t: t, root: root, swap: swap, told: map[string][]string{}, more: make(chan struct{})}
	var err error
	m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: root + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := m.notify.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		setErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
	})
	if err := errors.Join(err, setErr); err != nil {
		t.Fatal(err)
	}
	if m.journal, err = os.OpenFile(root+"/journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	asked, err := net.Listen("unix", root+"/systemctl")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(m.hear)
	serving.Go(func() { m.answer(asked) })
	t.Cleanup(func() {
		m.stop()
		for _, c := range []io.Closer{asked, m.notify, m.journal} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		serving.Wait()
	})
	return m
}

// hear takes what the main process tells, and that of no other: NotifyAccess=main.
func (m *manager) hear() {
	b, oob := make([]byte, 4096), make([]byte, 256)
	for {
		n, oobn, _, _, err := m.notify.ReadMsgUnix(b, oob)
		if err != nil {
			return // it was closed
		}
		from := 0
		if messages, err := syscall.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for _, c := range messages {
				if who, err := syscall.ParseUnixCredentials(&c); err == nil {
					from = int(who.Pid)
				}
			}
		}
		m.mu.Lock()
		if from == m.main {
			for line := range strings.SplitSeq(string(b[:n]), "\n") {
				name, value, _ := strings.Cut(line, "=")
				m.told[name] = append(m.told[name], value)
				if pid, err := strconv.Atoi(value); err == nil && name == "MAINPID" {
					m.main = pid
				}
			}
			close(m.more)
			m.more = make(chan struct{})
		}
		m.mu.Unlock()
	}
}

// times is how often something was told.
func (m *manager) times(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.told[name])
}

// await waits until something has been told more often than so.
func (m *manager) await(name string, before int) error {
	late := time.After(patience)
	for {
		m.mu.Lock()
		n, more := len(m.told[name]), m.more
		m.mu.Unlock()
		if n > before {
			return nil
		}
		select {
		case <-more:
		case <-late:
			return fmt.Errorf("the main process has not told %s within %v", name, patience)
		}
	}
}

// answer does what systemctl is asked to.
func (m *manager) answer(asked net.Listener) {
	for {
		c, err := asked.Accept()
		if err != nil {
			return // it was closed
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil {
			err = m.do(strings.Fields(line))
		}
		if err != nil {
			fmt.Fprintln(c, "failed:", err)
		} else {
			fmt.Fprintln(c, "done")
		}
		_ = c.Close() // it is answered
	}
}

func (m *manager) do(words []string) error {
	reloaded := m.times("READY")
	switch ask := strings.ReplaceAll(strings.Join(words, " "), ".service", ""); ask {
	case "daemon-reload":
		return nil
	case "enable --now wirehost.socket wirehost":
		if err := m.listen(); err != nil {
			return err
		}
		return m.start()
	case "reload wirehost":
		if err := syscall.Kill(m.pid(), syscall.SIGHUP); err != nil {
			return err
		}
		return m.await("READY", reloaded)
	case "restart wirehost":
		m.stop()
		return m.start()
	default:
		return fmt.Errorf("found %q", ask)
	}
}

func (m *manager) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.main
}

// unit is what a unit file says, by name: the last value of each.
func (m *manager) unit(name string) (map[string]string, error) {
	b, err := os.ReadFile(m.root + "/etc/systemd/system/" + name)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for line := range strings.Lines(m.swap.Replace(string(b))) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(line, "#") {
			said[key] = value
		}
	}
	return said, nil
}

// listen listens as the socket unit says.
func (m *manager) listen() error {
	u, err := m.unit("wirehost.socket")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp4", u["ListenStream"])
	if err != nil {
		return err
	}
	f, err := ln.(*net.TCPListener).File()
	if err := errors.Join(err, ln.Close()); err != nil {
		return err
	}
	m.sockets, m.names = append(m.sockets, f), append(m.names, u["FileDescriptorName"])
	m.t.Cleanup(func() { f.Close() })
	return nil
}

// watchdogTime is in place of the unit's WatchdogSec: the test is in a hurry.
const watchdogTime = time.Second

// start starts the service, and waits until it is ready.
func (m *manager) start() error {
	u, err := m.unit("wirehost.service")
	if err != nil {
		return err
	}
	if u["Type"] != "notify" || u["NotifyAccess"] != "main" || u["ExecReload"] != "/bin/kill -HUP $MAINPID" ||
		u["WatchdogSec"] == "" {
		return fmt.Errorf("found %v: this manager does not know that", u)
	}
	// A process learns here what only it can know, and becomes the program.
	cmd := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@"`, "sh"},
		strings.Fields(u["ExecStart"])...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + m.root + "/notify",
		"LISTEN_FDS=" + strconv.Itoa(len(m.sockets)), "LISTEN_FDNAMES=" + strings.Join(m.names, ":"),
		"WATCHDOG_USEC=" + strconv.FormatInt(watchdogTime.Microseconds(), 10)}
	for what, in := range map[string]string{"Runtime": "/run/", "State": "/var/lib/", "Cache": "/var/cache/",
		"Logs": "/var/log/"} {
		dir := m.root + in + u[what+"Directory"]
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, strings.ToUpper(what)+"_DIRECTORY="+dir)
	}
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = m.sockets, m.journal, m.journal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	before := m.times("READY")
	m.mu.Lock()
	err = cmd.Start()
	if err == nil {
		m.first, m.main = cmd, cmd.Process.Pid
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.await("READY", before)
}

// awaitEnd waits for the end of a process that is no child of this one.
func (m *manager) awaitEnd(handle int) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			m.t.Errorf("the main process has not ended within %v: %v", patience, err)
		}
		return
	}
}

// stop ends the service: the main process as KillMode=mixed does, then what is left of its
// group.
func (m *manager) stop() {
	pid := m.pid()
	if pid == 0 {
		return
	}
	before := m.times("STOPPING")
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer unix.Close(handle)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		m.t.Error(err)
	} else if err := m.await("STOPPING", before); err != nil {
		m.t.Error(err)
	}
	if pid == m.first.Process.Pid {
		_ = m.first.Wait() // its log says how it ended
	} else {
		m.awaitEnd(handle)
		_ = syscall.Kill(-m.first.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = m.first.Wait()                                      // the same
	}
	m.mu.Lock()
	m.main = 0
	m.mu.Unlock()
}
