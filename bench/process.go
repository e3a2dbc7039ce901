package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTimeout = 5 * time.Minute // until a server says where it listens: a Go guest of 12 MB is compiled
	clockTick    = 10 * time.Millisecond
	anyCPU       = -1
)

// process is a server that runs.
type process struct {
	cmd   *exec.Cmd
	addr  string        // where it listens
	ready time.Duration // from its start until it said so
	out   *tail
	kill  context.CancelFunc
}

// pinned starts cmd on one processor, or on anyCPU. The child takes the affinity
// of the calling thread, which must be locked to its goroutine and must live as
// long as the child.
func pinned(cmd *exec.Cmd, cpu int) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cpu == anyCPU {
		return cmd.Start()
	}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var was, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	want.Set(cpu)
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return fmt.Errorf("affinity to processor %d: %w", cpu, err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &was))
}

// start runs a server on cpu and waits until it says where it listens.
func start(ctx context.Context, cpu int, argv []string) (*process, error) {
	ctx, kill := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	p := &process{cmd: cmd, kill: kill, out: &tail{}}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		kill()
		return nil, err
	}
	cmd.Stderr = cmd.Stdout // the same pipe
	began := time.Now()
	if err := pinned(cmd, cpu); err != nil {
		kill()
		return nil, fmt.Errorf("start %s: %w", strings.Join(argv, " "), err)
	}
	said := make(chan string, 1)
	go listening(pipe, said, p.out)
	select {
	case p.addr = <-said:
		p.ready = time.Since(began)
		if p.addr != "" {
			return p, nil
		}
		err = errors.New("ended without saying where it listens")
	case <-time.After(startTimeout):
		err = fmt.Errorf("not listening after %v", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.stop()
	return nil, fmt.Errorf("start %s: %w: %s", strings.Join(argv, " "), err, p.out)
}

// serving finds the address in the line by which a server says that it serves:
// "listening HOST:PORT" of this program's own, and the log line of the command.
var serving = regexp.MustCompile(`^listening (\S+)|\] +ready: listening="?tcp://([^\s"]+)`)

// listening sends the address, or nothing at the output's end, and keeps the
// last of the other lines.
func listening(r io.Reader, to chan<- string, other *tail) {
	defer close(to)
	said := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil && !said {
			said = true
			to <- m[1] + m[2]
			continue
		}
		fmt.Fprintln(other, lines.Text())
	}
}

// stop kills the server and waits for it.
func (p *process) stop() {
	p.kill()
	p.cmd.Wait() // "signal: killed" is what is wanted
}

// end is stop. What went wrong with a server is told with the last that it said.
func (p *process) end(err error) error {
	p.stop()
	if said := p.out.String(); err != nil && said != "" {
		return fmt.Errorf("%w\nthe server said: %s", err, said)
	}
	return err
}

// cpu is the processor time that it has used, in its own code and the kernel's,
// to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// proc(5): the name, in parentheses, may hold anything; utime and stime
	// are the 12th and 13th fields after it.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')'):]), " ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: found %d fields after the name, wanted 13", len(f))
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// rss is its resident memory in bytes. Of pages that several mappings share, as those of
// an image, each counts once.
func (p *process) rss() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")))
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/PID/smaps_rollup: found no Pss")
}

// client runs a command on cpu to its end and returns its standard output and
// the processor time that it used.
func client(ctx context.Context, cpu int, timeout time.Duration, argv ...string) (string, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out strings.Builder
	errs := &tail{}
	cmd.Stdout, cmd.Stderr = &out, errs
	if err := pinned(cmd, cpu); err != nil {
		return "", 0, err
	}
	if err := cmd.Wait(); err != nil {
		return "", 0, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), errors.Join(err, ctx.Err()), errs)
	}
	return out.String(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// tail keeps the last 4 KiB written to it. Any goroutine.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = t.b[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
