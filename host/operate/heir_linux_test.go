package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/handover"
)

// heirVariable says what the process that takes over does; see play.
const heirVariable = "OPERATE_TEST_HEIR"

// TestPlayHeir is the process that takes over, where another test has started it.
func TestPlayHeir(t *testing.T) {
	part, there := os.LookupEnv(heirVariable)
	if !there {
		t.Skip("for other tests")
	}
	if err := play(part); err != nil {
		t.Fatal(err)
	}
}

// play takes whatever comes, and stops itself, or ends, behind a message. It runs nothing: that it
// says it has taken is all that the other process can know.
func play(part string) error {
	behind, what, _ := strings.Cut(part, " ")
	number, _, _ := strings.Cut(os.Getenv(handoverVariable), ",")
	fd, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	conn, err := handover.FromFile(os.NewFile(uintptr(fd), "handover"))
	if err != nil {
		return err
	}
	at := func(kind string) error {
		if kind != behind {
			return nil
		}
		var err error
		signal := syscall.SIGSTOP
		switch what {
		case "dies":
			signal = syscall.SIGKILL
		case "goes on":
			err = errors.Join(conn.Send(sayOver, nil), conn.Close())
		}
		if err = errors.Join(err, syscall.Kill(os.Getpid(), signal)); err == nil {
			select {} // the signal may come a little later
		}
		return err
	}
	for {
		m, err := conn.Receive()
		if err != nil {
			return err
		}
		answer, body := "", any(nil)
		switch m.Kind {
		case sayHello:
			var first hello
			if err := m.Decode(&first); err != nil {
				return err
			}
			about := ready{Format: handoverFormat, Program: "(devel)"}
			if behind == sayOver {
				about.Unwanted = first.Endpoints
			}
			answer, body = sayReady, about
		case sayOffer:
			var list []host.Handed
			if err := m.Decode(&list); err != nil {
				return err
			}
			answer, body = sayAnswer, make([]string, len(list))
		case sayCommit:
			answer = sayTaken
		case sayDone:
			answer = sayOver
		}
		err = at(m.Kind)
		if answer != "" && err == nil {
			if err = conn.Send(answer, body); err == nil {
				err = at(answer)
			}
		}
		if err != nil {
			return err
		}
	}
}

// counts is a server with connections of each isolation, whose states are numbers.
type counts struct {
	*Server
	t     *testing.T
	log   *journal
	conns []net.Conn
	sent  byte
	at    string // where new ones go
}

func newCounts(t *testing.T) *counts {
	t.Helper()
	c := &counts{t: t, log: newJournal(t)}
	dir := t.TempDir()
	cfg := config.Config{Plugins: map[string]config.Plugin{}}
	cfg.State.Dir = "off"
	cfg.Admin.Listen = "unix://" + filepath.Join(dir, "admin.sock")
	for _, isolation := range []config.Isolation{config.IsolationLoop, config.IsolationConnection} {
		name := string(isolation)
		cfg.Plugins[name] = config.Plugin{Module: "../testdata/counter.wasm", Isolation: isolation}
		cfg.Listeners = append(cfg.Listeners,
			config.Listener{Endpoint: "unix://" + filepath.Join(dir, name), Plugin: name})
		c.at = filepath.Join(dir, name)
	}
	c.Server = begin(t, cfg, Options{Log: c.log,
		Program: []string{os.Args[0], "-test.run=^TestPlayHeir$"}})
	for n := range 20 {
		conn, err := net.Dial("unix", filepath.Join(dir, []string{"loop", "connection"}[n%2]))
		do(t, err)
		t.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	if n := c.count(); n != len(c.conns) {
		t.Fatalf("found %d connections that count, wanted %d", n, len(c.conns))
	}
	return c
}

// count has each connection count on, and tells how many do.
func (c *counts) count() (alive int) {
	c.t.Helper()
	for _, conn := range c.conns {
		do(c.t, conn.SetDeadline(time.Now().Add(patience)))
		_, err := conn.Write([]byte("?"))
		got := make([]byte, 1)
		if err == nil {
			_, err = io.ReadFull(conn, got)
		}
		switch {
		case err == nil && got[0] != c.sent:
			c.t.Errorf("found %d, wanted %d", got[0], c.sent)
		case err == nil:
			alive++
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.t.Error(err)
		}
	}
	c.sent++
	return alive
}

// hung waits until a process has been stopped, or has ended.
func hung(pid int) error {
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil
		}
		if _, state, _ := strings.Cut(string(text), ") "); state[0] == 'T' || state[0] == 'Z' {
			return nil
		}
	}
	return errors.New("it has neither been stopped nor ended")
}

// TestHeirFails: wherever a process that takes over stops, or ends, before it has said that it has
// taken what was offered, everything goes on as if nothing had happened; after that, nobody can
// tell what it has done, and the rest goes on.
func TestHeirFails(t *testing.T) {
	for _, what := range []string{"stops", "dies"} {
		for _, behind := range []string{sayHello, sayReady, sayBegin, saySockets, sayOffer, sayAnswer, sayCommit,
			sayTaken, sayDone} {
			t.Run(what+" behind "+behind, func(t *testing.T) {
				t.Setenv(heirVariable, behind+" "+what)
				failHeir(t, behind == sayTaken || behind == sayDone)
			})
		}
	}
}

// failHeir has an upgrade fail; taken: after connections were taken.
func failHeir(t *testing.T, taken bool) {
	c := newCounts(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done, pid := c.upgrade(ctx)
	do(t, hung(pid))
	cancel() // as if it had taken too long
	err := <-done
	if err == nil {
		t.Fatal("found no error")
	}
	lost := 0
	if _, text, found := strings.Cut(err.Error(), "goes on, without "); found {
		_, err := fmt.Sscanf(text, "%d connections that had moved", &lost)
		do(t, err)
	}
	if (lost > 0) != taken {
		t.Errorf("found %v; wanted it to tell of connections that are lost: %t", err, taken)
	}
	if n := c.count(); n != len(c.conns)-lost {
		t.Errorf("found %d connections that count on, wanted %d: %v", n, len(c.conns)-lost, err)
	}
	do(t, answers("unix", c.at))
}

// upgrade begins an upgrade, and tells which process is started.
func (c *counts) upgrade(ctx context.Context) (done chan error, pid int) {
	done = make(chan error, 1)
	go func() {
		_, err := c.Upgrade(ctx, false)
		done <- err
	}()
	_, number, _ := strings.Cut(c.log.await("the new process is started"), "pid=")
	_, err := fmt.Sscan(number, &pid)
	do(c.t, err)
	return done, pid
}

// TestHeirGoesOn: a process that has not waited for this one, since this one stood still, keeps what
// it has, and this one what was not taken.
func TestHeirGoesOn(t *testing.T) {
	for _, behind := range []string{sayOffer, sayAnswer, sayCommit} {
		t.Run(behind, func(t *testing.T) {
			t.Setenv(heirVariable, behind+" goes on")
			c := newCounts(t)
			done, pid := c.upgrade(context.Background())
			defer func() { do(t, syscall.Kill(pid, syscall.SIGKILL)) }()
			do(t, <-done)
			if n := c.count(); n != len(c.conns) {
				t.Errorf("found %d connections that count on, wanted %d", n, len(c.conns))
			}
			select {
			case <-c.Replaced():
			default:
				t.Error("found it not replaced")
			}
		})
	}
}

// TestTakenIsReadAfterTheEnd: what a process has said counts, also where this one has given up on it
// before it read that.
func TestTakenIsReadAfterTheEnd(t *testing.T) {
	for _, said := range []string{sayTaken, sayAnswer, ""} {
		ours, theirs, err := handover.Pair()
		do(t, err)
		other, err := handover.FromFile(theirs)
		do(t, err)
		if said != "" {
			do(t, other.Send(said, nil))
		}
		do(t, other.Close())
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		h := &heir{ctx: ctx, conn: ours, now: time.Now, cmd: exec.Command("sleep", "600"), exited: make(chan struct{})}
		do(t, h.cmd.Start())
		go func() {
			_ = h.cmd.Wait() // it is killed
			close(h.exited)
		}()
		taken, err := h.Commit(false)
		if taken != (said == sayTaken) || !errors.Is(err, context.Canceled) {
			t.Errorf("after %q: found %t, %v", said, taken, err)
		}
		h.close()
	}
}

// TestUnwanted: the files of sockets that the new process does not listen on go, once all has moved.
func TestUnwanted(t *testing.T) {
	t.Setenv(heirVariable, sayOver+" stops")
	c := newCounts(t)
	dir := filepath.Dir(c.at)
	done, pid := c.upgrade(context.Background())
	defer func() { do(t, syscall.Kill(pid, syscall.SIGKILL)) }()
	do(t, <-done)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("found %v, %v, wanted nothing", left, err)
	}
}
