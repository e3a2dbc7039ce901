package host

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/wirehost/wirehost/host/config"
)

// profiling is a profile that runs until it is ended.
type profiling struct {
	end  context.CancelFunc
	done chan struct{}
	p    *profile.Profile
	err  error
}

// profile begins a profile of the guest, and returns when it runs on all loops.
func (s *server) profile(t *testing.T) *profiling {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &profiling{end: cancel, done: make(chan struct{})}
	s.logs.forget()
	go func() {
		defer close(r.done)
		r.p, r.err = s.Profile(ctx, "guest", time.Hour)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	s.logs.await(t, "profile", 1)
	return r
}

// result waits for the profile, which must be a valid one.
func (r *profiling) result(t *testing.T) *profile.Profile {
	t.Helper()
	<-r.done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if err := r.p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return r.p
}

// labels are the values of a label.
func labels(p *profile.Profile, key string) []string {
	var list []string
	for _, s := range p.Sample {
		list = append(list, s.Label[key]...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func works(isolation config.Isolation) config.Config {
	return configuration(config.Plugin{Module: "testdata/works.wasm", Isolation: isolation})
}

// roundTrips has the guest work so many times.
func roundTrips(t *testing.T, addr string, count int) {
	t.Helper()
	c := dial(t, addr)
	for range count {
		send(t, c, "work")
		expect(t, c, "work")
	}
}

// A profile is on at once for a guest that runs, and for what is loaded while it runs.
func TestProfile(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := newServer(t, works(isolation))
			steady(s.Host)
			s.start(t)
			roundTrips(t, s.addrs[0], 1)
			r := s.profile(t)
			roundTrips(t, s.addrs[0], 50)
			if _, err := s.Profile(context.Background(), "guest", time.Hour); !errors.Is(err, ErrProfiling) {
				t.Errorf("got %v for a second one", err)
			}
			out, err := s.ReloadPlugin(context.Background(), "guest", true)
			if err != nil {
				t.Fatal(err)
			}
			roundTrips(t, s.addrs[0], 2000) // until another burst is due: that has 3 ms of work
			r.end()
			p := r.result(t)
			if got, want := labels(p, "version"), []string{out.Previous, out.Version}; !slices.Equal(got, want) {
				t.Errorf("found the versions %q, wanted %q", got, want)
			}
			if got := labels(p, "export"); !slices.Contains(got, "dataReceived") {
				t.Errorf("found the exports %q", got)
			}
			if want := []string{"ended early"}; !slices.Equal(p.Comments, want) {
				t.Errorf("found %q, wanted %q", p.Comments, want)
			}
			s.profile(t).end() // the next one may begin
		})
	}
}

// An unload ends a profile, and so does the end of the host.
func TestProfileEnds(t *testing.T) {
	for _, tc := range []struct {
		name, note string
		end        func(*server) error
	}{
		{"unload", "ended early: the plugin was unloaded", func(s *server) error {
			_, err := s.UnloadPlugin(context.Background(), "guest")
			return err
		}},
		{"shutdown", "ended early: the host is ending", func(s *server) error {
			now, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(now); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, works(config.IsolationLoop))
			r := s.profile(t)
			roundTrips(t, s.addrs[0], 50)
			if err := tc.end(s); err != nil {
				t.Fatal(err)
			}
			if p := r.result(t); len(p.Sample) == 0 || !slices.Equal(p.Comments, []string{tc.note}) {
				t.Errorf("found %d samples and %q, wanted some and %q", len(p.Sample), p.Comments, tc.note)
			}
		})
	}
}

func TestProfileOfNothing(t *testing.T) {
	s := serve(t, works(config.IsolationLoop))
	if _, err := s.Profile(context.Background(), "nobody", time.Hour); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v for a plugin that is not there", err)
	}
	p, err := s.Profile(context.Background(), "guest", time.Nanosecond)
	if err != nil || p.CheckValid() != nil || len(p.Sample) > 0 || len(p.Comments) > 0 {
		t.Errorf("found %v, %v for a plugin that does nothing", p, err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Profile(context.Background(), "guest", time.Hour); err == nil {
		t.Error("found no error behind the end")
	}
}
