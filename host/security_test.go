package host

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// TestSecurityClaims: the tests that SECURITY.md names are there.
func TestSecurityClaims(t *testing.T) {
	page, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz|Benchmark)\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 40 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, n := range named {
		files, err := filepath.Glob("../" + n[1] + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(b), "\nfunc "+n[2]+"(")
		}
		if !found {
			t.Errorf("%s has no %s", n[1], n[2])
		}
	}
}

// TestNoFiles: a Go guest that tries to reach outside gets errors, and lives.
func TestNoFiles(t *testing.T) {
	s := serve(t, configuration(config.Plugin{Module: built(t, "outside")}))
	c := dial(t, s.addrs[0])
	send(t, c, "x")
	expect(t, c, "read: no\nwrite: no\nmkdir: no\nlist: no\nenviron: 0\nargs: 0\ndial: no\n")
}

// TestOwnConfiguration: a plugin sees its own section, and only that.
func TestOwnConfiguration(t *testing.T) {
	wasm := built(t, "outside")
	cfg := configuration(config.Plugin{Module: wasm, Config: map[string]any{"mine": 1}})
	cfg.Plugins["other"] = config.Plugin{Module: wasm, Config: map[string]any{"secret": "s"}}
	s := serve(t, cfg)
	c := dial(t, s.addrs[0])
	send(t, c, "config")
	expect(t, c, `{"mine":1}`+"\n")
}
