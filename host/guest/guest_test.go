package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stand is a guest with one place, on a loop that does not run but by its Step. It is
// its guest's owner.
type stand struct {
	*Guest
	reactor *reactor.Reactor
	place   *Place
	traps   []*TrapError
	live    int    // instances that were started and are not closed
	closed  func() // called after each; nil = nothing
}

func (s *stand) Trapped(t *TrapError) { s.traps = append(s.traps, t) }
func (s *stand) Closed() {
	if s.live--; s.closed != nil {
		s.closed()
	}
}

// paging has instances of one connection be made from an image and leave their cells.
func paging(s *Settings) { s.Single, s.Image, s.PageOut = true, true, time.Second }

// standing is a guest of a file of ../testdata.
func standing(t testing.TB, file string, more ...func(*Settings)) *stand {
	t.Helper()
	return standingOf(t, "../testdata/"+file+".wasm", false, more...)
}

func standingOf(t testing.TB, path string, unmetered bool, more ...func(*Settings)) *stand {
	t.Helper()
	return standingBy(t, loaded(t, path, unmetered), more...)
}

// standingBy is a guest of a program, which ends with it.
func standingBy(t testing.TB, p *Program, more ...func(*Settings)) *stand {
	t.Helper()
	s := &stand{}
	var err error
	if s.reactor, err = reactor.New(reactor.Config{Loops: 1}); err != nil {
		t.Fatal(err)
	}
	l := s.reactor.Loops()[0]
	began := time.Now()
	settings := Settings{
		Name: "guest@test", Config: []byte("{}"), Limits: Limits{CallbackTime: time.Minute, State: 64 << 10},
		Allow: &AllowList{}, Account: NewAccount("guest", hclog.NewNullLogger(), 0, l.Now), Memory: NewReservations(),
		Owner: s,
		Clocks: Clocks{Now: l.Now, Wall: time.Now, Spent: func() time.Duration {
			return time.Since(began)
		}, CPU: meter.ProcessClock()},
	}
	for _, f := range more {
		f(&settings)
	}
	s.Guest = New(p, settings)
	s.place = s.newPlace()
	t.Cleanup(func() {
		err := s.reactor.Close()
		s.place.StopLoop(func() bool { return true })
		if err := errors.Join(err, p.Close(context.Background())); err != nil {
			t.Error(err)
		}
		if s.live != 0 {
			t.Errorf("of %d instances the owner was not told that they are closed", s.live)
		}
	})
	return s
}

func (s *stand) newPlace() *Place {
	l := s.reactor.Loops()[0]
	return &Place{Guest: s.Guest, Loop: l, Share: l.NewShare(), Took: &Callbacks{}}
}

// loaded compiles a module, in this process and without a cache.
func loaded(t testing.TB, path string, unmetered bool) *Program {
	t.Helper()
	return loadedWithin(t, path, unmetered, compile.Limits{Stack: 1 << 20, Table: 10_000, GoJumps: true})
}

func loadedWithin(t testing.TB, path string, unmetered bool, limits compile.Limits) *Program {
	t.Helper()
	return loadedIn(t, "", path, unmetered, limits)
}

// loadedIn is loadedWithin with a cache; "" = none.
func loadedIn(t testing.TB, dir, path string, unmetered bool, limits compile.Limits) *Program {
	t.Helper()
	e, err := NewLoader(context.Background(), LoaderOptions{Dir: dir, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	return loadedBy(context.Background(), t, e, path, unmetered, limits)
}

func loadedBy(ctx context.Context, t testing.TB, e *Loader, path string, unmetered bool,
	limits compile.Limits) *Program {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := compile.Module{Sum: fmt.Sprintf("%x", sha256.Sum256(b)), Unmetered: unmetered,
		Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b)), nil
		}}
	p, err := e.Load(ctx, m, limits, compile.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Start is the guest's, counted.
func (s *stand) Start(within time.Duration) (*Instance, error) {
	s.live++
	return s.Guest.Start(within, nil)
}

// fresh is a started instance that has no place.
func (s *stand) fresh(t testing.TB) *Instance {
	t.Helper()
	i, err := s.Start(0)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// instance is a started instance at the place.
func (s *stand) instance(t testing.TB) *Instance {
	t.Helper()
	i := s.fresh(t)
	i.Commit(s.place)
	return i
}

// rest has the loop do all that is due.
func (s *stand) rest() {
	for s.reactor.Step() {
	}
}

// sink is a Transport that takes every write. Its other methods are nil.
type sink struct {
	reactor.Transport
	bytes   int
	aborted bool
}

func (s *sink) Write(p []byte) (int, error) { s.bytes += len(p); return 0, nil }
func (s *sink) State() reactor.State        { return 0 }
func (s *sink) Stats() reactor.ConnStats    { return reactor.ConnStats{} }
func (s *sink) WriteSequence(pieces [][]byte) (int, error) {
	for _, p := range pieces {
		s.bytes += len(p)
	}
	return 0, nil
}
func (s *sink) Abort(reactor.Reason, error) { s.aborted = true }
