package host

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestC: a guest in C, written from ABI.md alone, serves a thousand connections
// in each isolation.
func TestC(t *testing.T) {
	const connections = 1000
	clang := tooltest.Find(t, "clang-19", "")
	tooltest.Find(t, "wasm-ld-19", "")
	wasm := filepath.Join(t.TempDir(), "upper.wasm")
	if text, err := exec.Command(clang, "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-o", wasm,
		"testdata/upper.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			s := serve(t, configuration(config.Plugin{Module: wasm, Isolation: isolation}))
			conns := make([]net.Conn, connections)
			for n := range conns {
				conns[n] = dial(t, s.addrs[0])
				expect(t, conns[n], "ready\n")
			}
			s.await(t, connections)
			for n, c := range conns {
				send(t, c, fmt.Sprintf("hello from %d", n))
			}
			for n, c := range conns {
				expect(t, c, fmt.Sprintf("HELLO FROM %d", n))
			}
			for _, c := range conns {
				send(t, c, "quit\n")
				expect(t, c, "QUIT\n")
				if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
					t.Fatalf("%q, %v", b, err)
				}
				c.Close()
			}
		})
	}
}
