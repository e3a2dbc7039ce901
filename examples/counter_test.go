package examples

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestCounter takes an open connection from version 1 to version 2, and fails to
// take it back.
func TestCounter(t *testing.T) {
	for _, isolation := range []config.Isolation{config.IsolationConnection, config.IsolationLoop,
		config.IsolationShared} {
		t.Run(string(isolation), func(t *testing.T) {
			first, second := build(t, "counter/v1"), build(t, "counter/v2")
			s := serve(t, "counter", func(cfg *config.Config) { setCounter(cfg, first, isolation) })
			c := s.dial(t, "counter")
			c.send("a\nbb\nha")
			c.expect("line 1\nline 2\n")

			out, err := s.reloadCounter(t, second, isolation)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.log)
			}
			if !strings.Contains(out, "migrated 1") {
				t.Fatalf("found %q, wanted one connection migrated", out)
			}
			c.send("lf\n")
			c.expect("line 3, 4 bytes\n")

			_, err = s.reloadCounter(t, first, isolation)
			if err == nil {
				t.Fatal("version 1 took what version 2 saved")
			}
			if !strings.Contains(err.Error(), "restoreState refused (1)") {
				t.Errorf("found %v, wanted that restoreState refused", err)
			}
			if why := "state version 2: found state version 2, wanted 1"; !strings.Contains(s.log.String(), why) {
				t.Errorf("the log does not say %q:\n%s", why, s.log)
			}
			c.send("x\n")
			c.expect("line 4, 5 bytes\n")
		})
	}
}

func setCounter(cfg *config.Config, module string, isolation config.Isolation) {
	cfg.Plugins = maps.Clone(cfg.Plugins)
	p := cfg.Plugins["counter"]
	p.Module, p.Isolation = module, isolation
	cfg.Plugins["counter"] = p
}

// reloadCounter goes over to another module, as an operator does who edits the
// configuration.
func (s *server) reloadCounter(t *testing.T, module string, isolation config.Isolation) (string, error) {
	t.Helper()
	cfg := s.cfg
	setCounter(&cfg, module, isolation)
	change, err := s.Reload(context.Background(), cfg)
	return strings.Join(change.Lines(), "\n"), err
}
