//go:build unix

package reactor_test

import (
	"bufio"
	"bytes"
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

	"github.com/wirehost/wirehost/reactor"
)

// fewDescriptors is the child's RLIMIT_NOFILE, many its clients.
const (
	fewDescriptors = 64
	many           = 100
)

// TestProbeDescriptors has 100 clients at a server that may open 64 files, and
// one that tries on and on: the server lives, uses under a tenth of a processor
// while it is out of descriptors, and serves again when there are some. The
// server is a child process, since the limit is one of the process.
func TestProbeDescriptors(t *testing.T) {
	for _, backend := range []string{"epoll", "portable"} {
		t.Run(backend, func(t *testing.T) {
			if backend == "epoll" && !reactor.HasEpoll {
				t.Skip("this system has no epoll")
			}
			child := startChild(t, backend)
			address := child.line(t)
			clients := crowd(t, address)
			if len(clients) == 0 || len(clients) >= many {
				t.Fatalf("%d of %d clients were served, with %d descriptors", len(clients), many, fewDescriptors)
			}
			stop, stopped := make(chan struct{}), make(chan int, 1)
			go func() { stopped <- knock(address, stop) }()
			child.ask(t, "open")
			if left, err := strconv.Atoi(child.line(t)); err != nil || left < fewDescriptors/4-4 {
				t.Errorf("%d descriptors are left to others, %v, wanted a quarter of %d", left, err, fewDescriptors)
			}
			child.ask(t, "adopt")
			if found := child.line(t); !strings.HasSuffix(found, syscall.EMFILE.Error()) {
				t.Errorf("a connection of another process: found %s, wanted %v", found, syscall.EMFILE)
			}
			child.ask(t, "listen")
			if left, err := strconv.Atoi(child.line(t)); err != nil || left < fewDescriptors/4-4 {
				t.Errorf("listeners leave %d descriptors to others, %v, wanted a quarter of %d", left, err,
					fewDescriptors)
			}
			child.ask(t, "datagrams")
			if left, err := strconv.Atoi(child.line(t)); err != nil || left < fewDescriptors/4-4 {
				t.Errorf("datagram sockets leave %d descriptors to others, %v, wanted a quarter of %d", left, err,
					fewDescriptors)
			}
			child.ask(t, "cpu")
			used, err := time.ParseDuration(child.line(t))
			if err != nil {
				t.Fatal(err)
			}
			close(stop)
			tries := <-stopped
			t.Logf("%d clients served; %v of processor in a second, %d more tries meanwhile", len(clients), used, tries)
			if used > 100*time.Millisecond && !raceEnabled {
				t.Errorf("%v of processor in a second without descriptors", used)
			}
			for _, c := range clients { // those that are served still are
				if err := echoes(c); err != nil {
					t.Error(err)
				}
				c.Close()
			}
			again := 0
			for end := time.Now().Add(20 * time.Second); again < 10 && time.Now().Before(end); {
				c, err := net.Dial("tcp", address)
				if err != nil {
					continue
				}
				if echoes(c) == nil { // not so while the last ones are being closed
					again++
				}
				c.Close()
			}
			if again < 10 {
				t.Errorf("%d of 10 clients were served when descriptors were free again", again)
			}
			child.end(t)
		})
	}
}

// crowd opens connections at once, and returns those that are served.
func crowd(t *testing.T, address string) []net.Conn {
	var mu sync.Mutex
	var served []net.Conn
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err) // the system queues them
				return
			}
			if echoes(c) != nil {
				c.Close()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			served = append(served, c)
			t.Cleanup(func() { c.Close() })
		})
	}
	all.Wait()
	return served
}

// knock tries to be served until told to stop, and returns how often.
func knock(address string, stop chan struct{}) (tries int) {
	for {
		select {
		case <-stop:
			return tries
		default:
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		tries++
		_ = echoes(c) // it need not be served
		c.Close()
	}
}

func echoes(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != "hello" {
		return fmt.Errorf("found %q, wanted hello", got)
	}
	return nil
}

// child is a server in a process of its own.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
}

const childEnv = "WIREHOST_PROBE_CHILD"

func startChild(t *testing.T, backend string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestProbeChild$", "-test.timeout=120s")}
	c.cmd.Env = append(os.Environ(), childEnv+"="+backend)
	c.cmd.Stderr = &c.stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it has ended, if all went well
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		t.Fatalf("the server has ended: %v; %s", c.out.Err(), c.stderr.String())
	}
	return c.out.Text()
}

func (c *child) ask(t *testing.T, what string) {
	t.Helper()
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		t.Fatal(err)
	}
}

func (c *child) end(t *testing.T) {
	t.Helper()
	if err := c.in.Close(); err != nil {
		t.Error(err)
	}
	for c.out.Scan() {
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the server has ended with %v; %s", err, c.stderr.String())
	}
}

// TestProbeChild is the child of TestProbeDescriptors.
func TestProbeChild(t *testing.T) {
	backend := os.Getenv(childEnv)
	if backend == "" {
		t.Skip("it is for TestProbeDescriptors")
	}
	few := &syscall.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, few); err != nil {
		t.Fatal(err)
	}
	r, err := reactor.New(reactor.Config{Loops: 1, Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, buildFunc(newEcho),
		reactor.ListenOptions{Loop: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Start(), ln.Start()); err != nil {
		t.Fatal(err)
	}
	fmt.Println(strings.TrimPrefix(ln.Endpoint().String(), "tcp://"))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "open" {
			fmt.Println(canOpen(t))
			continue
		}
		l := r.Loops()[0]
		if in.Text() == "adopt" {
			fmt.Println(adopt(t, l))
			continue
		}
		if in.Text() == "listen" {
			fmt.Println(listenAgain(t, r))
			continue
		}
		if in.Text() == "datagrams" {
			fmt.Println(openDatagrams(t, l))
			continue
		}
		used := make(chan time.Duration)
		err := l.CallFromThread(func() {
			before := processor(t)
			l.CallLater(time.Second, func() { used <- processor(t) - before })
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(<-used)
	}
}

// listenAgain makes listeners as guests do, until there are too many, and tells how many
// files can be opened then.
func listenAgain(t *testing.T, r *reactor.Reactor) int {
	for {
		ln, err := r.Listen(reactor.Endpoint{Scheme: "tcp", Host: "127.0.0.1"}, nil,
			reactor.ListenOptions{Loop: -1, Socket: reactor.SocketOptions{LeaveKept: true}})
		if errors.Is(err, syscall.EMFILE) {
			return canOpen(t)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
}

// openDatagrams opens sockets for datagrams until there are too many, and tells how many files
// can be opened then.
func openDatagrams(t *testing.T, l *reactor.Loop) int {
	told := make(chan error)
	open := func() {
		l.OpenDatagram(reactor.Endpoint{Scheme: "udp", Host: "127.0.0.1"}, &opened{told: told},
			reactor.DatagramOptions{})
	}
	for {
		if err := l.CallFromThread(open); err != nil {
			t.Fatal(err)
		}
		if err := <-told; errors.Is(err, syscall.EMFILE) {
			return canOpen(t)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// opened tells whether its socket is there.
type opened struct {
	reactor.DatagramProtocol
	told chan error
	ok   bool
}

func (p *opened) StartProtocol(*reactor.DatagramSocket) {
	p.ok = true
	p.told <- nil
}

func (p *opened) StopProtocol(_ reactor.Reason, err error) {
	if !p.ok {
		p.told <- err
	}
}

// canOpen is how many files can be opened now.
func canOpen(t *testing.T) int {
	var files []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			for _, f := range files {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
			return len(files)
		}
		files = append(files, f)
	}
}

// adopt has a loop take a connection of another process.
func adopt(t *testing.T, l *reactor.Loop) error {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[0])
	f := os.NewFile(uintptr(fds[1]), "a connection")
	defer f.Close()
	adopted := make(chan error, 1)
	if err := l.CallFromThread(func() {
		_, err := l.Adopt(f, reactor.Frozen{Unix: true}, &echo{}, nil, nil, nil)
		adopted <- err
	}); err != nil {
		t.Fatal(err)
	}
	return <-adopted
}

// processor is the time that this process has used.
func processor(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Error(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
