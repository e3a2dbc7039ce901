package host

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestAssembled holds each .wasm of testdata against its .wat.
func TestAssembled(t *testing.T) {
	wat2wasm := tooltest.Find(t, "wat2wasm", "")
	var files []string
	for _, dir := range []string{"testdata", "testdata/hostile"} {
		list, err := filepath.Glob(dir + "/*.wat")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) < 30 {
		t.Fatalf("found %d files", len(files))
	}
	for _, wat := range files {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if text, err := exec.Command(wat2wasm, "--enable-all", wat, "-o", out).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", wat, err, text)
			continue
		}
		want, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		wasm := strings.TrimSuffix(wat, ".wat") + ".wasm"
		if got, err := os.ReadFile(wasm); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what %s assembles to (%v)", wasm, wat, err)
		}
	}
}
