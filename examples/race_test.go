//go:build race

package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host/config"
)

// precompile has a server without the race detector fill the cache with a
// guest's machine code: with it, compiling takes ten times as long.
func precompile(t *testing.T, folder, module string) {
	t.Helper()
	server := filepath.Join(built.dir, "wirehost")
	if _, err := os.Stat(server); err != nil {
		if text, err := exec.Command("go", "build", "-o", server, "../cmd/host").CombinedOutput(); err != nil {
			t.Fatalf("build of the server: %v\n%s", err, text)
		}
	}
	file := folder + "/wirehost.yaml"
	if _, err := os.Stat(file); err != nil {
		file = filepath.Dir(folder) + "/wirehost.yaml"
	}
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"validate", "--config", file, "--set", "cache.dir=" + built.dir}
	for name, p := range cfg.Plugins {
		if !strings.HasPrefix(p.Module, "builtin:") {
			args = append(args, "--set", "plugins."+name+".module="+module)
		}
	}
	if text, err := exec.Command(server, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
}
