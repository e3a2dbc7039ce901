package guest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// TestStartIsKept: what the first start of a guest comes to lies in the cache, for its
// owner alone, and the next process begins with it; unless it is damaged, or another
// configuration's, or from a time that is still to come.
func TestStartIsKept(t *testing.T) {
	dir := t.TempDir()
	const file = "../../plugins/echo/echo.wasm"
	later := func(d time.Duration) func(*Settings) {
		return func(s *Settings) {
			now := s.Clocks.Now
			s.Clocks.Now = func() time.Duration { return now() + d }
		}
	}
	kept := func() string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*", "start-*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("found the files %v (%v), wanted one", files, err)
		}
		return files[0]
	}
	in := func(more ...func(*Settings)) *stand {
		t.Helper()
		return standingBy(t, loadedIn(t, dir, file, false, compile.Limits{Stack: 1 << 20, Table: 10_000}), more...)
	}
	s := in(paging, later(0))
	if s.findOrigin(false) != nil {
		t.Fatal("found an origin before the first start")
	}
	s.opened(t)
	info, err := os.Stat(kept())
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("found the mode %v (%v), wanted 0600", info.Mode(), err)
	}
	for name, c := range map[string]struct {
		change func(*Settings)
		want   bool
	}{
		"the same":     {later(time.Hour), true},
		"config":       {func(s *Settings) { s.Config = []byte(`{"a":1}`) }, false},
		"limit":        {func(s *Settings) { s.Limits.Memory = 40 << 20 }, false},
		"earlier":      {later(-time.Hour), false},
		"without":      {func(s *Settings) { s.Image = false }, false},
		"on its loop":  {nil, false},
		"not single":   {func(s *Settings) { s.Single = false; later(time.Hour)(s) }, true},
		"other limits": {func(s *Settings) { s.Limits.State++; later(time.Hour)(s) }, true},
	} {
		more := []func(*Settings){paging, later(0)}
		if c.change != nil {
			more = append(more, c.change)
		}
		s := in(more...)
		if got := s.findOrigin(c.change == nil) != nil; got != c.want {
			t.Errorf("%s: found an origin: %v, wanted %v", name, got, c.want)
		}
		if !c.want {
			continue
		}
		_, p, to := s.opened(t)
		if feed(t, p, "hello"); to.bytes != len("hello") {
			t.Errorf("%s: found %d bytes echoed, wanted 5", name, to.bytes)
		}
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"memory": func(b []byte) []byte { b[len(b)-1]++; return b },
		"buffer": func(b []byte) []byte { b[bytes.Index(b, []byte(`,"capacity":`))-1] ^= 1; return b },
		"end":    func(b []byte) []byte { return append(b, 0) },
		"header": func(b []byte) []byte { return bytes.Repeat([]byte(" "), len(b)) },
	} {
		b, err := os.ReadFile(kept())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kept(), damage(b), 0o600); err != nil {
			t.Fatal(err)
		}
		s := in(paging, later(time.Hour))
		if s.findOrigin(false) != nil {
			t.Errorf("found an origin in a file with another %s", name)
		}
		_, p, to := s.opened(t)
		if feed(t, p, "hello"); to.bytes != len("hello") {
			t.Errorf("another %s: found %d bytes echoed, wanted 5", name, to.bytes)
		}
	}
}
