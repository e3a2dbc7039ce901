package guest

import (
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/host/guest/internal/compile"
)

// TestMetricsOfImages: ids that an image holds are good in every instance made from it, in
// the next process too, where others have been given before; and an image that can't have
// them is not used.
func TestMetricsOfImages(t *testing.T) {
	dir := t.TempDir()
	in := func(more ...func(*Settings)) *stand {
		t.Helper()
		p := loadedIn(t, dir, "../testdata/metrics.wasm", false, compile.Limits{Stack: 1 << 20, Table: 10_000})
		return standingBy(t, p, append([]func(*Settings){func(s *Settings) { s.Image = true }}, more...)...)
	}
	tell := func(name string, s *stand, want string) {
		t.Helper()
		for range 2 {
			i, to := s.instance(t), &sink{}
			p, err := i.BuildProtocol(to)
			if err != nil {
				t.Fatal(err)
			}
			p.ConnectionMade(to)
			feed(t, p, "hello")
		}
		if got := found(s.account); got != want || len(s.traps) > 0 {
			t.Errorf("%s: found %s (traps %v), wanted %s", name, got, s.traps, want)
		}
	}
	const all = "counter bytes_total 10, gauge last_size 5, histogram sizes 10 [9]=2, counter starts_total 2"
	tell("first", in(), all)
	tell("the next process", in(), all)
	s := in()
	other := New(s.program, Settings{Account: s.account})
	other.define(abi.MetricGauge, []byte("other"))
	tell("beside another version", s, "counter bytes_total 10, gauge last_size 5, gauge other 0, "+
		"histogram sizes 10 [9]=2, counter starts_total 2")
	s = in()
	s.define(abi.MetricGauge, []byte("other")) // by an instance that began on its loop
	if s.findOrigin(false) != nil {
		t.Error("found an origin whose ids are others'")
	}
	tell("where ids are taken", s, "counter bytes_total 10, gauge last_size 5, gauge other 0, "+
		"histogram sizes 10 [9]=2, counter starts_total 2")
	s = in()
	other = New(s.program, Settings{Account: s.account})
	other.define(abi.MetricGauge, []byte("bytes_total"))
	if s.findOrigin(false) != nil {
		t.Error("found an origin whose metric is of another kind now")
	}
}

// TestRefusalIsNotKept: a start in which a metric was refused leaves no file.
func TestRefusalIsNotKept(t *testing.T) {
	dir := t.TempDir()
	p := loadedIn(t, dir, "../testdata/metrics.wasm", false, compile.Limits{Stack: 1 << 20, Table: 10_000})
	s := standingBy(t, p, func(s *Settings) { s.Image = true })
	New(p, Settings{Account: s.account}).define(abi.MetricGauge, []byte("bytes_total"))
	s.instance(t)
	if files, err := filepath.Glob(filepath.Join(dir, "*", "start-*")); err != nil || len(files) > 0 {
		t.Errorf("found the files %v (%v), wanted none", files, err)
	}
}
