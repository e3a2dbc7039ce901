//go:build unix

package operate

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/internal/changes"
	"github.com/wirehost/wirehost/internal/handover"
)

// An upgrade that comes to nothing is told in the log, since who sent a signal has no other
// answer: where there is no program, where it ends though what it has started lives on, and
// where something else changes.
func TestUpgradeFails(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	k := serveKept(t, dir)
	fails := func(logged string, program ...string) {
		t.Helper()
		k.o.Program = program
		_, err := k.Upgrade(changes.AtOnce(context.Background()), false)
		if err == nil || !strings.Contains(err.Error(), logged) {
			t.Errorf("found %v, wanted %q", err, logged)
		}
		if line := k.log.await("upgrade failed"); !strings.Contains(line, logged) {
			t.Errorf("found %s, wanted %q", line, logged)
		}
	}
	fails("no such file", filepath.Join(k.dir, "missing"))
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // else children ignore it where nohup has started this
	defer signal.Stop(heard)
	for _, sent := range []string{"HUP", "USR2"} { // to all processes: another one is started
		came := filepath.Join(k.dir, sent)
		fails("exit status 3", "/bin/sh", "-c", "test -e "+came+" && exit 3; touch "+came+"; kill -"+sent+" $$")
	}
	fails("signal: hangup", "/bin/sh", "-c", "kill -HUP $$")
	fails("signal: terminated", "/bin/sh", "-c", "test -e "+k.dir+"/TERM && exit 3; touch "+k.dir+"/TERM; kill $$")
	number := filepath.Join(k.dir, "pid")
	fails("exit status 3", "/bin/sh", "-c", "sleep 600 & echo $! > "+number+"; exit 3")
	text, err := os.ReadFile(number)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	o, err := k.BeginHandover()
	if err != nil {
		t.Fatal(err)
	}
	fails(host.ErrChanging.Error(), "/bin/true")
	k.o.Program = []string{filepath.Join(k.dir, "missing")}
	time.AfterFunc(2*changes.Wait, func() {
		if err := o.Abandon(); err != nil {
			t.Error(err)
		}
	})
	if _, err := k.Upgrade(context.Background(), false); !errors.Is(err, os.ErrNotExist) { // it has waited
		t.Errorf("found %v", err)
	}
}

// Instances whose sockets can't all be taken, since the new process is out of descriptors,
// are refused, and the next ones are not.
func TestSocketsAreMissing(t *testing.T) {
	ours, theirs, err := handover.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	conn, err := handover.FromFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := &inheritance{conn: conn, over: &host.Takeover{}, wait: elderWait, missing: true}
	const full = "in the new process: too many open files"
	for n, want := range [][]string{{full, full},
		{}} {
		if err := ours.Send(sayOffer, make([]host.Handed, len(want))); err != nil {
			t.Fatal(err)
		}
		m, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := in.answer(m); err != nil {
			t.Fatal(err)
		}
		found := []string{}
		if m, err = ours.Receive(); err == nil {
			err = m.Decode(&found)
		}
		if err != nil || !slices.Equal(found, want) {
			t.Errorf("%d: found %q, %v, wanted %q", n, found, err, want)
		}
	}
}

// TestSocketsInPieces: where there are not enough descriptors for duplicates of all sockets of an
// instance, they go a few at a time, and where there is none, that instance stays.
func TestSocketsInPieces(t *testing.T) {
	ours, theirs, err := handover.Pair()
	do(t, err)
	other, err := handover.FromFile(theirs)
	do(t, err)
	h := &heir{ctx: context.Background(), conn: ours, now: time.Now}
	handed := func(connections, free int) (one host.Handed) {
		one.State.Connections = make([]guest.ConnectionState, connections)
		one.Sockets = func(from, to int) (files []*os.File, err error) {
			for range min(free, to-from) {
				f, err := os.Open(os.DevNull)
				do(t, err)
				files = append(files, f)
			}
			if to-from > free {
				err = syscall.EMFILE
			}
			return files, err
		}
		return one
	}
	list := []host.Handed{handed(3, 100), handed(100, 100), handed(50, 7), handed(2, 0), handed(5, 5)}
	failed, err := h.give(list)
	do(t, errors.Join(err, ours.Close()))
	for n, want := range []int{3, 100, 50, 0, 5} {
		if list[n].Given != want || (failed[n] != nil) != (want == 0) {
			t.Errorf("%d: found %d sockets, %v, wanted %d", n, list[n].Given, failed[n], want)
		}
	}
	came := 0
	for {
		m, err := other.Receive()
		if err != nil {
			break
		}
		if len(m.Files) > pieceSockets {
			t.Errorf("found %d sockets at a time, wanted at most %d", len(m.Files), pieceSockets)
		}
		came += len(m.Files)
		m.CloseFiles()
	}
	if err := other.Close(); err != nil || came != 158 {
		t.Errorf("found %d sockets, %v, wanted 158", came, err)
	}
}

// TestEffort: a process may take longer for more that it is offered, and then for what it has
// taken of that, which comes before its next answer; for nothing else.
func TestEffort(t *testing.T) {
	one := func(s guest.State) []host.Handed { return []host.Handed{{State: s}} }
	for _, tc := range []struct {
		list []host.Handed
		want time.Duration
	}{
		{nil, 0},
		{make([]host.Handed, 64), 64 * instanceWait},
		{one(guest.State{Connections: make([]guest.ConnectionState, 20_000)}), instanceWait + 20*time.Second},
		{one(guest.State{Sockets: make([]guest.SocketState, 5), Listeners: make([]guest.ListenerState, 7)}),
			instanceWait + 12*pieceWait},
		{one(guest.State{Factory: make([]byte, 5<<20)}), instanceWait + 5*megabyteWait},
	} {
		if d := effort(tc.list); d != tc.want {
			t.Errorf("found %v, wanted %v", d, tc.want)
		}
	}
	ours, theirs, err := handover.Pair()
	do(t, err)
	other, err := handover.FromFile(theirs)
	do(t, err)
	over := make(chan error, 1)
	go func() { over <- agree(other) }()
	const behind = answerWait + 10*time.Second // an answer in that time comes too late
	h := &heir{ctx: context.Background(), conn: ours, now: func() time.Time { return time.Now().Add(-behind) }}
	late := func(when string) {
		t.Helper()
		if err := h.send(sayBegin, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: found %v, wanted that it has no time", when, err)
		}
	}
	late("at first")
	refused, err := h.Offer(one(guest.State{Timers: make([]guest.TimerState, 120_000)})) // two minutes
	if err != nil || len(refused) != 1 {
		t.Fatalf("found %q, %v", refused, err)
	}
	if taken, err := h.Commit(false); !taken || err != nil {
		t.Fatalf("found %t, %v", taken, err)
	}
	if _, err := h.Offer(nil); err != nil {
		t.Errorf("behind a commit: %v", err)
	}
	late("when that is over")
	do(t, errors.Join(ours.Close(), <-over, other.Close()))
}

// agree plays a process that takes over, and refuses nothing, until the other one has closed.
func agree(with *handover.Conn) error {
	for {
		m, err := with.Receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Kind == sayCommit:
			err = with.Send(sayTaken, nil)
		case m.Kind == sayOffer:
			var list []host.Handed
			if err = m.Decode(&list); err == nil {
				err = with.Send(sayAnswer, make([]string, len(list)))
			}
		}
		if err != nil {
			return err
		}
	}
}
