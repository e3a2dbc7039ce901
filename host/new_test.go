package host

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestNewValidates: what a program puts together is checked as a file is, at the
// start and at each change.
func TestNewValidates(t *testing.T) {
	good := configuration(config.Plugin{Module: "testdata/echo.wasm"})
	bad := configuration(config.Plugin{Isolation: "proces"})
	bad.Listeners[0].Plugin = "gast"
	want := []string{
		`plugins.guest.isolation: found "proces", wanted connection, loop or shared`,
		`plugins.guest.module: found no module, wanted builtin:NAME, the path of a .wasm file, https://… or ` +
			`oci://HOST/NAME:TAG`,
		`listeners.0.plugin: found "gast", wanted the name of one under plugins (guest)`,
	}
	check := func(what string, err error) {
		t.Helper()
		var faults config.Faults
		if !errors.As(err, &faults) || err.Error() != strings.Join(want, "\n") {
			t.Errorf("%s: found %v", what, err)
		}
	}
	h, err := New(bad, Options{})
	check("New", err)
	if h != nil {
		t.Error("found a host")
	}
	check("Validate", Validate(context.Background(), bad, Options{}))

	s := serve(t, good)
	_, err = s.Reload(context.Background(), bad)
	check("Reload", err)
	want = []string{`plugins.more.reload: found "never", wanted migrate, drain or drop`}
	_, err = s.LoadPlugin(context.Background(), "more", config.Plugin{Module: "testdata/echo.wasm", Reload: "never"})
	check("LoadPlugin", err)
	echoes(t, s.addrs[0])
}

// TestNoBuiltin: a program that gives no built-in modules is told how it would.
func TestNoBuiltin(t *testing.T) {
	cfg := configuration(config.Plugin{Module: "builtin:echo"})
	for want, builtin := range map[string]func(string) ([]byte, bool){
		"this program gives none (host.Options.Builtin)": nil,
		`found no built-in module "echo"`:                func(string) ([]byte, bool) { return nil, false },
	} {
		err := Validate(context.Background(), cfg, Options{Builtin: builtin})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("found %v, wanted %s", err, want)
		}
	}
}
