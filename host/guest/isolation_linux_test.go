package guest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/wasmbintest"
	"github.com/wirehost/wirehost/reactor"
)

// said is a Transport that keeps what is written.
type said struct {
	sink
	text []byte
}

func (s *said) Write(p []byte) (int, error) { s.text = append(s.text, p...); return 0, nil }
func (s *said) Peer() string                { return "" }
func (s *said) Host() string                { return "" }
func (s *said) PeerCertificate() []byte     { return nil }
func (s *said) NegotiatedProtocol() string  { return "" }

// keeper is an instance of ../testdata/keeps.wat with a connection.
type keeper struct {
	i  *Instance
	p  reactor.Protocol
	to *said
}

// keeper is one at the stand's place.
func (s *stand) keeper(t testing.TB) *keeper {
	t.Helper()
	i := s.placed(t)
	k := &keeper{i: i, to: &said{}}
	var err error
	if k.p, err = i.BuildProtocol(k.to); err != nil {
		t.Fatal(err)
	}
	k.p.ConnectionMade(k.to)
	return k
}

// ask gives a command and returns what is said then.
func (k *keeper) ask(t testing.TB, command byte, operands ...any) string {
	t.Helper()
	b := []byte{command}
	for _, o := range operands {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, o); err != nil {
			t.Fatal(err)
		}
	}
	feed(t, k.p, string(b))
	return k.heard()
}

func (k *keeper) heard() string {
	text := fmt.Sprintf("%x", k.to.text)
	k.to.text = k.to.text[:0]
	return text
}

func (k *keeper) end() { k.p.ConnectionLost(reactor.Done, nil) }

// keeping is a stand of keeps.wat: as it is, with an image that is mapped, or without its
// start section, with one that is copied.
func keeping(t testing.TB, start bool, more ...func(*Settings)) *stand {
	t.Helper()
	path := "../testdata/keeps.wasm"
	if !start {
		m := wasmbintest.Read(t, path)
		m.Start = nil
		path = filepath.Join(t.TempDir(), "keeps.wasm")
		if err := os.WriteFile(path, m.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return standingOf(t, path, false, append(more, func(s *Settings) {
		s.Limits.Memory = 12 * wasmPage
		s.Limits.CallbackTime = time.Minute // what is tested here is no limit of time
	})...)
}

// everyImage runs a test with an image that is mapped, and one that is copied, and in
// each way in which a system tells of pages.
func everyImage(t *testing.T, test func(t *testing.T, start bool)) {
	for name, start := range map[string]bool{"mapped": true, "copied": false} {
		for _, way := range []string{"scanned", "read", "compared"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				tell(t, way)
				test(t, start)
			})
		}
	}
}

// questions are what is asked of an instance to see all of it.
func (k *keeper) questions(t testing.TB) string {
	return k.ask(t, 's') + " " + k.ask(t, 'Q') + " " + k.ask(t, 'r', uint32(0x30000)) + " " + k.ask(t, 'g', uint32(0))
}

// nan32 and nan64 are no numbers of an odd kind: signalling, negative, with a load.
const (
	nan32 = uint32(0xffa1b2c3)
	nan64 = uint64(0xfff1b2c3d4e5f607)
)

// fillAll has an instance write a pattern wherever it can.
func (k *keeper) fillAll(t testing.TB, pattern byte) {
	k.ask(t, 'g', uint32(3))
	k.ask(t, 'f', pattern)
	k.ask(t, 'G', uint32(0x5a5a5a5a), uint64(0xa5a5a5a5a5a5a5a5), nan32, nan64)
}

// TestNothingReachesTheNext: an instance that wrote everywhere it can, its memory, what
// it grew and its globals, leaves nothing to the next, however it ends; while the next is
// there, it is what it was itself when it comes back.
func TestNothingReachesTheNext(t *testing.T) {
	everyImage(t, func(t *testing.T, start bool) {
		ends := map[string]func(t *testing.T, s *stand, k *keeper){
			"its connection ends": func(_ *testing.T, s *stand, k *keeper) { k.end(); s.rest() },
			"it is paged out": func(t *testing.T, s *stand, k *keeper) {
				if !s.place.pageOut(k.i) {
					t.Fatal("it stays")
				}
				t.Cleanup(func() {
					if g := k.ask(t, 'Q'); g != fmt.Sprintf("5a5a5a5aa5a5a5a5a5a5a5a5%x%x", le(nan32), le(nan64)) {
						t.Errorf("it comes back with the globals %s", g)
					}
					if b := k.ask(t, 'r', uint32(10*wasmPage)); b != "a7a7a7a7a7a7a7a7" {
						t.Errorf("it comes back with %s in what it grew", b)
					}
					k.end()
				})
			},
			"it traps": func(t *testing.T, s *stand, k *keeper) {
				c := k.i.cell
				k.ask(t, '!')
				if k.i.Dead() == nil {
					t.Error("it has not trapped")
				}
				k.end()
				s.rest()
				if n := len(s.place.pool.free); s.memory.Live() != n+s.live {
					t.Errorf("found %d memories, wanted those of %d instances and %d free cells", s.memory.Live(),
						s.live, n)
				}
				if slices.Contains(s.place.pool.free, c) {
					t.Error("its cell is for another")
				}
			},
			"it is discarded": func(_ *testing.T, s *stand, k *keeper) { k.i.Discard(ErrNoRoom); k.end(); s.rest() },
			"it is closed":    func(_ *testing.T, _ *stand, k *keeper) { k.i.Close(); k.i.dead = errRetired; k.end() },
		}
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				s := keeping(t, start, paging)
				first := s.keeper(t)
				want := first.questions(t)
				first.end()
				s.rest()
				for range 3 {
					k := s.keeper(t)
					k.fillAll(t, 0xa7)
					end(t, s, k)
					for _, c := range s.place.pool.free {
						expectOrigin(t, s, c)
					}
					for range 2 {
						next := s.keeper(t)
						if got := next.questions(t); got != want {
							t.Errorf("the next one begins with %s, wanted %s", got, want)
						}
						defer next.end()
					}
				}
			})
		}
	})
}

func le[T any](v T) []byte { b, _ := binary.Append(nil, binary.LittleEndian, v); return b }

// twins are an instance that may leave its cell and one that never does, which are told
// the same.
type twins struct{ paged, plain *keeper }

// TestPagedAsPlain: instances that leave their cells in any order and at any time answer
// what such as never left theirs do, whatever they have written, grown, been told to
// wait for or moved, and free cells are always the origin.
func TestPagedAsPlain(t *testing.T) {
	everyImage(t, func(t *testing.T, start bool) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		often := func(s *Settings) { s.PageOut = time.Duration(1+r.IntN(4)) * time.Millisecond }
		a, b := keeping(t, start, paging, often), keeping(t, start, func(s *Settings) { s.Single = true })
		var list []*twins
		defer func() {
			for _, w := range list {
				w.paged.end()
				w.plain.end()
			}
		}()
		for step := range 1500 {
			for len(list) < 4 || len(list) < 12 && r.IntN(20) == 0 {
				list = append(list, &twins{a.keeper(t), b.keeper(t)})
			}
			n := r.IntN(len(list))
			w := list[n]
			what, ended := w.step(t, r, a, b)
			a.rest()
			b.rest()
			if got, want := w.paged.heard(), w.plain.heard(); got != want {
				t.Fatalf("seed %d, step %d, %s: found %s, wanted %s (%v)", seed, step, what, got, want, w.paged.i.dead)
			}
			if ended {
				w.paged.end()
				w.plain.end()
				list = slices.Delete(list, n, n+1)
			}
			if len(list) == 0 {
				continue
			}
			if i := list[r.IntN(len(list))].paged.i; i.cell != nil && r.IntN(2) == 0 && !a.place.pageOut(i) {
				t.Fatalf("seed %d, step %d: an instance stays", seed, step)
			}
			if step%100 == 0 {
				for _, c := range a.place.pool.free {
					expectOrigin(t, a, c)
				}
			}
		}
	})
}

// step tells both the same, and tells what that was and whether it has ended them.
func (w *twins) step(t *testing.T, r *rand.Rand, a, b *stand) (what string, ended bool) {
	t.Helper()
	both := func(command byte, operands ...any) string {
		for _, k := range []*keeper{w.paged, w.plain} {
			var p []byte
			for _, o := range operands {
				p = append(p, le(o)...)
			}
			feed(t, k.p, string(command)+string(p))
		}
		return fmt.Sprintf("%c %v", command, operands)
	}
	address := func() uint32 { return 0x1408 + uint32(r.IntN(9*wasmPage-0x1410)) }
	switch r.IntN(12) {
	case 0, 1, 2:
		return both('w', address(), r.Uint64()>>r.IntN(64)), w.paged.i.dead != nil
	case 3:
		return both('r', address()), w.paged.i.dead != nil
	case 4:
		return both('g', uint32(r.IntN(3))), false
	case 5:
		return both('f', byte(r.IntN(2)*r.IntN(256))), false
	case 6:
		return both('G', r.Uint32(), r.Uint64(), r.Uint32()|0x7f800000, r.Uint64()|0x7ff<<52), false
	case 7:
		return both('Q'), false
	case 8:
		return both('t', uint32(0)), false
	case 9:
		w.paged.p.(reactor.HalfCloseable).ReadConnectionLost()
		w.plain.p.(reactor.HalfCloseable).ReadConnectionLost()
		return "half-close", false
	case 10:
		return w.move(t, a, b), false
	}
	if r.IntN(8) > 0 {
		return both('s'), false
	}
	if r.IntN(2) == 0 {
		return both('!'), true
	}
	return "the end", true
}

// move moves both to new instances.
func (w *twins) move(t *testing.T, a, b *stand) string {
	t.Helper()
	for _, one := range []struct {
		s *stand
		k *keeper
	}{{a, w.paged}, {b, w.plain}} {
		old := one.k.i
		if one.s == a && old.cell != nil && len(old.timers) == 0 {
			a.place.pageOut(old)
		}
		fresh := one.s.fresh(t)
		if err := Move(old, fresh, one.s.place); err != nil {
			t.Fatal(err)
		}
		one.k.i = fresh
	}
	return "move"
}
