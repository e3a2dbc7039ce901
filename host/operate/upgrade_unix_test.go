//go:build unix

package operate

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/wirehost/wirehost/host"
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
		if _, err := k.Upgrade(context.Background(), false); err == nil || !strings.Contains(err.Error(), logged) {
			t.Errorf("found %v, wanted %q", err, logged)
		}
		if line := k.log.await("upgrade failed"); !strings.Contains(line, logged) {
			t.Errorf("found %s, wanted %q", line, logged)
		}
	}
	fails("no such file", filepath.Join(k.dir, "missing"))
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
	if err := o.Abandon(); err != nil {
		t.Error(err)
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
	in := &inheritance{conn: conn, over: &host.Takeover{}, missing: true}
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
