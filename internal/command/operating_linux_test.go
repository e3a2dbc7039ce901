package command

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// stands are programs that stand for systemd's; ROOT is the folder in place of /.
var stands = map[string]string{
	"systemctl": `said=$(echo "$*" | nc -N -U ROOT/systemctl)
[ "$said" = done ] || { echo "systemctl $*: $said" >&2; exit 1; }`,
	"journalctl":       `exec tail -n +1 -f ROOT/journal`,
	"systemd-sysusers": `exec /usr/bin/systemd-sysusers --root=ROOT`,
	"systemd-tmpfiles": `exec /usr/bin/systemd-tmpfiles --root=ROOT "$@"`,
}

// TestOperatingPage does what the page for operators says. Streams count from the start of
// the service on, and through the upgrade.
func TestOperatingPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it serves")
	}
	for _, name := range []string{"nc", "sh", "openssl", "curl", "awk", "systemd-sysusers", "systemd-tmpfiles"} {
		tooltest.Find(t, name, "")
	}
	if os.Getuid() != 0 {
		tooltest.Missing(t, "only root can do what the page says")
	}
	root, err := os.MkdirTemp("", "wirehost-root-*") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	echo := tooltest.FreePort(t)
	swap := strings.NewReplacer("/usr/bin/", root+"/usr/bin/", "/usr/share/", root+"/usr/share/", "/etc/", root+"/etc/",
		"/run/", root+"/run/",
		"/var/", root+"/var/", "/tmp/", root+"/tmp/", "7007", echo, "7443", tooltest.FreePort(t), "9100",
		tooltest.FreePort(t))
	archive := unpacked(t, root, swap)
	m := newServiceManager(t, root, swap)
	r := newReader(t, archive)
	r.swap = swap
	env := "export PATH=" + root + "/usr/bin:" + root + "/stands:$PATH\n"
	if err := os.WriteFile(r.env, []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := filepath.Abs("../../host/operate/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	loaded := r.loads(m, "127.0.0.1:"+echo)
	r.follow(page, 19)
	if n := loaded.Load(); n < 100 {
		t.Errorf("found %d exchanges under the upgrade", n)
	}
	for name, least := range map[string]int{"READY": 5, "RELOADING": 3, "STOPPING": 1, "MAINPID": 1, "WATCHDOG": 1} {
		if err := m.await(name, least-1); err != nil {
			t.Errorf("%v, %d times", err, least)
		}
	}
}

// unpacked is the folder of an archive in a root, with paths and ports swapped.
func unpacked(t *testing.T, root string, swap *strings.Replacer) string {
	t.Helper()
	archive := filepath.Join(root, "archive")
	for _, dir := range []string{"archive/systemd", "archive/man/man1", "stands", "usr/bin", "tmp",
		"etc/systemd/system", "etc/sysusers.d",
		"etc/tmpfiles.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(path string, b []byte, err error) {
		t.Helper()
		if err == nil {
			err = os.WriteFile(path, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range stands {
		script = "#!/bin/sh\n" + strings.ReplaceAll(script, "ROOT", root) + "\n"
		put(filepath.Join(root, "stands", name), []byte(script), nil)
	}
	for _, name := range []string{"wirehost.yaml", "systemd/wirehost.service", "systemd/wirehost.socket",
		"systemd/sysusers.conf", "systemd/tmpfiles.conf"} {
		b, err := os.ReadFile(filepath.Join(packaged, name))
		if name == "wirehost.yaml" { // the manager swaps the units', and the others have their --root
			b = []byte(swap.Replace(string(b)))
		}
		put(filepath.Join(archive, name), b, err)
	}
	put(filepath.Join(archive, "man/man1/wirehost.1"), nil, nil)
	b, err := os.ReadFile(binary)
	put(filepath.Join(archive, "wirehost"), b, err)
	b, err = os.ReadFile("../../host/testdata/echo.wasm")
	put(filepath.Join(archive, "hello.wasm"), b, err)
	put(filepath.Join(archive, "hello-next.wasm"), append(slices.Clone(b), 0, 2, 1, 'n'), nil) // a custom section
	return archive
}

// loads has streams count at an address, of a peer of their own, while the block that
// upgrades runs: n are the numbers exchanged.
func (r *reader) loads(m *manager, address string) (n *atomic.Int64) {
	n = new(atomic.Int64)
	r.around = func(b block, do func()) {
		if !strings.Contains(b.text, "wirehost upgrade --dry-run\n") {
			do()
			return
		}
		u := &upgraded{t: r.t, stop: make(chan struct{})}
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		before, began := m.pid(), sync.WaitGroup{}
		for range 20 {
			c, err := dialer.Dial("tcp", address)
			if err != nil {
				r.t.Fatal(err)
			}
			began.Add(1)
			u.streaming.Go(func() {
				defer c.Close()
				began.Done()
				if err := u.count(c, &u.worst[0]); err != nil {
					r.t.Errorf("a stream: %v", err)
				}
			})
		}
		began.Wait()
		do()
		close(u.stop)
		u.streaming.Wait()
		n.Store(u.exchanged.Load())
		if after := m.pid(); after == before {
			r.t.Errorf("the main process is %d before and after the upgrade", before)
		}
		if err := m.await("WATCHDOG", m.times("WATCHDOG")); err != nil { // of the new one
			r.t.Error(err)
		}
	}
	return n
}
