package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// logging has an account log into what is returned.
func logging(s *Settings, to *bytes.Buffer) {
	s.Account = NewAccount("guest", hclog.New(&hclog.LoggerOptions{Output: to, Level: hclog.Trace}), 0, s.Clocks.Now)
}

// TestImageReplaced: a memory whose image takes the place of another, a smaller one or
// one that is copied, shows nothing of the first when its pages go back, nor to whoever
// has the range next.
func TestImageReplaced(t *testing.T) {
	const size = 1 << 20
	first := []compile.Segment{{Address: 0, Bytes: bytes.Repeat([]byte("secret"), 100_000)}}
	second := []compile.Segment{{Address: 4096, Bytes: bytes.Repeat([]byte("x"), 4096)}}
	for name, made := range map[string]func([]compile.Segment) (*image, error){"mapped": newFile, "copied": newCopied} {
		t.Run(name, func(t *testing.T) {
			one, err := newFile(first)
			if err != nil {
				t.Fatal(err)
			}
			two, err := made(second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(one.close(), two.close()); err != nil {
					t.Error(err)
				}
			}()
			r := NewReservations()
			m, err := r.reserve(size)
			if err != nil {
				t.Fatal(err)
			}
			if err := one.put(m); err != nil {
				t.Fatal(err)
			}
			m.Reallocate(size)
			want := make([]byte, size)
			copy(want[4096:], second[0].Bytes)
			copy(m.bytes(), want)
			if err := two.replace(m); err != nil || !bytes.Equal(m.bytes(), want) {
				t.Fatalf("%v, or it holds something else", err)
			}
			copy(m.bytes()[300_000:], "written")
			if err := two.drop(m); err != nil || !bytes.Equal(m.bytes(), want) {
				t.Errorf("%v, or its pages that went back show something else", err)
			}
			r.munmap = func([]byte) error { return unix.ENOMEM }
			m.Free()
			if m, err = r.reserve(size); err != nil || !bytes.Equal(m.reserved, make([]byte, size)) {
				t.Errorf("%v, or the next memory does not begin with zeros", err)
			}
			r.munmap = unix.Munmap
			m.Free()
		})
	}
}

// TestNoFileInMemory: where the system gives no file in memory, a large image is copied,
// and that is said once.
func TestNoFileInMemory(t *testing.T) {
	var log bytes.Buffer
	s := keeping(t, true, paging, func(s *Settings) { logging(s, &log) })
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	pagemap() // it stays open
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	first := s.keeper(t)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	second := s.keeper(t)
	if got, want := first.questions(t), second.questions(t); got != want {
		t.Errorf("found %s and %s", got, want)
	}
	first.ask(t, 'w', uint32(0x22222), uint64(7))
	if !s.place.pageOut(first.i) || first.ask(t, 'r', uint32(0x22222)) != "0700000000000000" {
		t.Error("it is not what it was when it comes back")
	}
	if n := strings.Count(log.String(), imageNote); n != 1 || !strings.Contains(log.String(), "memfd_create") {
		t.Errorf("found %d lines, wanted one that names the reason: %s", n, log.String())
	}
	first.end()
	second.end()
}

// TestNoRoomToComeBack: where there is no room for one more cell, or memory is short, an
// instance that comes back takes the cell of another, however busy that is; no instance
// starts while memory is short. Where none can leave, it ends, and its connection with
// it; the reason names what to raise, and nothing of it is left.
func TestNoRoomToComeBack(t *testing.T) {
	for name, full := range map[string]func(*stand){
		"no addresses": func(s *stand) { s.memory.Map = noMemory },
		"short":        func(s *stand) { s.memory.SetShort(true) },
	} {
		t.Run(name, func(t *testing.T) {
			s := keeping(t, true, paging)
			one, two := s.keeper(t), s.keeper(t)
			one.ask(t, 'G', uint32(1), uint64(2), nan32, nan64)
			if !s.place.pageOut(one.i) {
				t.Fatal("it stays")
			}
			s.place.closeCell(s.place.pool.take(100))
			for range 5 {
				two.ask(t, 's')
			}
			full(s)
			for n, k := range []*keeper{one, two, one, two} {
				if k.ask(t, 'Q') == "" {
					t.Fatalf("question %d has no answer: %v", n, k.i.Dead())
				}
			}
			if s.place.pageOut(two.i); name == "short" {
				s.live++
				if _, err := s.Guest.Start(0, s.place); !errors.Is(err, ErrNoRoom) {
					t.Errorf("a start while memory is short: %v", err)
				}
			}
			two.ask(t, 'Q') // in the one cell
			live := s.memory.Live()
			two.i.phase = phaseRun // as if it could not leave
			if text := one.ask(t, 'Q'); text != "" || !errors.Is(one.i.Dead(), ErrNoRoom) || !one.to.aborted {
				t.Errorf("found the answer %q, %v", text, one.i.Dead())
			}
			two.i.phase = phaseIdle
			if err := one.i.Dead(); name == "no addresses" && !strings.Contains(fmt.Sprint(err), "vm.max_map_count") {
				t.Errorf("%v does not name what to raise", err)
			}
			one.end()
			s.rest()
			if s.live != 1 || s.memory.Live() != live || len(s.traps) != 0 {
				t.Errorf("%d instances and %d memories are left, and %d traps were told", s.live, s.memory.Live(),
					len(s.traps))
			}
			two.end()
		})
	}
}

// TestCellsEndBeforeTheLast: when the owner is told of the last instance of a place that
// is closing, it may free the program: no cell is left then.
func TestCellsEndBeforeTheLast(t *testing.T) {
	s := keeping(t, true, paging)
	var list []*keeper
	for range 8 {
		list = append(list, s.keeper(t))
	}
	for _, k := range list[:5] {
		s.place.pageOut(k.i)
	}
	s.closed = func() {
		if s.live == 0 && s.memory.Live() != 0 {
			t.Errorf("%d memories are left", s.memory.Live())
		}
	}
	for _, k := range list {
		k.end()
		s.place.BeginClosing()
		s.place.PageOut()
	}
	s.rest()
	if s.live != 0 {
		t.Errorf("%d instances are left", s.live)
	}
}

// TestStopWithPagedOut: the end of a loop comes to instances that have left their cells
// too: those without connections have their stopFactory.
func TestStopWithPagedOut(t *testing.T) {
	s := keeping(t, true, paging)
	var list []*keeper
	for range 4 {
		k := s.keeper(t)
		k.ask(t, 't', uint32(1<<30))
		list = append(list, k)
		s.place.pageOut(k.i)
	}
	for _, k := range list[:2] {
		k.end() // its timer is left
		s.place.pageOut(k.i)
	}
	if s.live != 4 {
		t.Fatalf("%d instances are left", s.live)
	}
	s.place.StopLoop(func() bool { return true })
	if s.live != 0 || s.memory.Live() != 0 {
		t.Errorf("%d instances and %d memories are left", s.live, s.memory.Live())
	}
}

// TestStartsByChance: a start that traps leaves no image, and the next one tries again;
// from the first that went well on every instance is the same, and nothing is logged again.
func TestStartsByChance(t *testing.T) {
	var log bytes.Buffer
	s := standing(t, "hostile/starts_by_chance", paging, func(s *Settings) { logging(s, &log) })
	start := func() (*Instance, error) {
		s.live++
		i, err := s.Guest.Start(0, s.place)
		if err == nil {
			i.Commit(s.place)
		}
		return i, err
	}
	var first *Instance
	for first == nil {
		i, err := start()
		if trap := (*TrapError)(nil); err != nil && (!errors.As(err, &trap) || trap.Cause != causeUnreachable ||
			s.origin.Load() != nil || s.memory.Live() != 0) {
			t.Fatalf("found %v, %d memories, an image: %v", err, s.memory.Live(), s.origin.Load() != nil)
		}
		first = i
	}
	want, _ := first.mem.Read(0, 9)
	for range 40 {
		i := s.placed(t)
		if got, _ := i.mem.Read(0, 9); !bytes.Equal(got, want) {
			t.Errorf("an instance begins with %x, another with %x", got, want)
		}
	}
	if n := strings.Count(log.String(), "text=started"); n != 1 {
		t.Errorf("the start's line is there %d times", n)
	}
}

// TestPlain: a module that changes what can't be read from outside has an instance of its
// own for each connection, as without an image, which never leaves its cell; an operator
// is told why.
func TestPlain(t *testing.T) {
	for name, more := range map[string]func(*Settings){
		"with an image": paging, "without": func(s *Settings) { s.Single = true },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s := standing(t, "writes_tables", more, func(s *Settings) { logging(s, &log) })
			one := s.keeper(t)
			answers := one.ask(t, 'x') + " " + one.ask(t, 'x')
			two := s.keeper(t)
			answers += " " + two.ask(t, 'x') + " " + one.ask(t, 'x') + " " + two.ask(t, 'x')
			if want := "313137 323237 313137 333237 323237"; answers != want {
				t.Errorf("found %s, wanted %s", answers, want)
			}
			if s.origin.Load() != nil || len(s.place.pool.busy) != 0 {
				t.Error("there is an image of it")
			}
			if told := strings.Count(log.String(), plainNote); told != 1 && name != "without" || told != 0 &&
				name == "without" {
				t.Errorf("the reason is told %d times: %s", told, log.String())
			}
			one.end()
			two.end()
		})
	}
}

// TestNothingIsLeft: instances that were made from an image and left their cells leave
// no file in memory, no mapping of one and no linear memory behind.
func TestNothingIsLeft(t *testing.T) {
	count := func() (n int) {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil && strings.Contains(to, "wirehost-image") {
				n++
			}
		}
		return n + bytes.Count(maps, []byte("wirehost-image"))
	}
	before := count()
	var r *Reservations
	t.Run("", func(t *testing.T) {
		s := keeping(t, true, paging)
		r = s.memory
		var list []*keeper
		for n := range 60 {
			k := s.keeper(t)
			k.fillAll(t, byte(n))
			if list = append(list, k); n%3 > 0 && !s.place.pageOut(k.i) {
				t.Error("it stays")
			}
		}
		for n, k := range list {
			if k.ask(t, 's'); n%7 == 0 {
				k.ask(t, '!')
			}
			if n%2 == 0 {
				k.end()
			}
		}
		s.rest()
	})
	if after := count(); after != before || r.Live() != 0 {
		t.Errorf("%d files and mappings are left, and %d memories", after-before, r.Live())
	}
}

// TestPagedOutIsWatched: an instance that has left its cell is traced and profiled as any
// other, when it comes back; its callbacks are counted once.
func TestPagedOutIsWatched(t *testing.T) {
	var log bytes.Buffer
	s := keeping(t, true, paging, func(s *Settings) { logging(s, &log) })
	k := s.keeper(t)
	s.place.pageOut(k.i)
	profile := s.account.BeginProfile(1, s.clocks.Spent)
	s.account.SetTrace(0, true)
	s.place.FollowWatch()
	before := s.place.Took.Counts
	k.ask(t, 's')
	made := uint64(0)
	for n, after := range s.place.Took.Counts {
		made += after - before[n]
	}
	if made != 1 {
		t.Errorf("one callback was counted as %d", made)
	}
	if n := strings.Count(log.String(), "dataReceived("); n == 0 {
		t.Errorf("no trace of the callback: %s", log.String())
	}
	s.place.pageOut(k.i)
	s.account.SetTrace(0, false)
	s.account.EndProfile(profile)
	s.place.FollowWatch()
	k.ask(t, 's')
	k.end()
}

// TestRefusedLeavesNoCell: an instance that refuses its connection gives its cell to the
// next.
func TestRefusedLeavesNoCell(t *testing.T) {
	s := standing(t, "hostile/refuses_connections", paging)
	for range 5 {
		i := s.placed(t)
		if _, err := i.BuildProtocol(&said{}); !errors.Is(err, errRefused) {
			t.Error(err)
		}
		s.rest()
	}
	if s.memory.Live() != 1 || len(s.place.pool.free) != 1 || s.live != 0 {
		t.Errorf("%d memories, %d free, %d instances", s.memory.Live(), len(s.place.pool.free), s.live)
	}
}
