package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/tooltest"
)

// TestFTPCurl reads and writes in both ways that curl asks for a listener.
func TestFTPCurl(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	s := serve(t, "ftp", goServer(2, map[string]any{"user": "ann", "password": "secret", "max_memory": 1 << 20}))
	url := "ftp://ann:secret@" + s.addr["ftp"] + "/"
	text := strings.Repeat("0123456789abcde\n", 1<<14)
	for _, how := range []string{"--disable-epsv", "--ftp-pasv"} {
		run(t, text, curl, "--silent", "--show-error", how, "-T", "-", url+"file")
		if out := run(t, "", curl, "--silent", "--show-error", how, url+"file"); out != text {
			t.Errorf("%s: found %d bytes, wanted %d", how, len(out), len(text))
		}
	}
	if out := run(t, "", curl, "--silent", "--show-error", url); !strings.Contains(out, " 262144 ") {
		t.Errorf("found %q", out)
	}
	fails := func(want, stdin string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c := exec.CommandContext(ctx, curl, append([]string{"--silent", "--show-error"}, args...)...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: found %v, %s wanted %q", args, err, out, want)
		}
	}
	fails("(67)", "", strings.Replace(url, "secret", "guess", 1)+"file")
	fails("(78)", "", url+"nothing")
	fails("452", strings.Repeat("x", 1<<20), "-T", "-", url+"more")
}

func TestFTPLftp(t *testing.T) {
	lftp := tooltest.Find(t, "lftp", "Debian: apt-get install lftp")
	s := serve(t, "ftp", goServer(2, nil))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "up"), []byte("from below"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := runAt(t, dir, "", lftp, "-c", "set net:timeout 30; set net:max-retries 1; set ftp:ssl-allow no; open ftp://"+
		s.addr["ftp"]+"; put up; cls -1; cat motd; get up -o down; rm up; cls -1")
	if out != "motd\nup\nhello from wirehost\nmotd\n" {
		t.Errorf("found %q", out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "down")); err != nil || string(b) != "from below" {
		t.Errorf("found %q, %v", b, err)
	}
}
