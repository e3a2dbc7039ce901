package examples

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// runIn runs a client program; the error has its output.
func runIn(ctx context.Context, stdin, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// sshBox is OpenSSH's client with keys of its own.
type sshBox struct {
	dir, ssh string
	port     string
}

func (b *sshBox) keygen(t *testing.T, keygen, name, kind string) (private, public string) {
	t.Helper()
	file := filepath.Join(b.dir, name)
	run(t, "", keygen, "-q", "-t", kind, "-N", "", "-C", "test", "-f", file)
	one, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(one), strings.TrimSpace(string(two))
}

// knows has commands go to a port, whose server has a key.
func (b *sshBox) knows(t *testing.T, port, hostPublic string) {
	t.Helper()
	b.port = port
	known := fmt.Sprintf("[127.0.0.1]:%s %s\n", port, hostPublic)
	if err := os.WriteFile(filepath.Join(b.dir, "known"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs ssh with a key and returns its output and exit status.
func (b *sshBox) command(t *testing.T, key, stdin string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.ssh, append([]string{
		"-F", "none", "-i", filepath.Join(b.dir,
			key), "-p", b.port, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + filepath.Join(b.dir,
			"known"), "-o", "StrictHostKeyChecking=yes",
		"tester@127.0.0.1",
	}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(out), 0
	case errors.As(err, &exit):
		return string(out) + stderr.String(), exit.ExitCode()
	}
	t.Fatal(err)
	return "", 0
}

// TestSSH logs in with OpenSSH's ssh.
func TestSSH(t *testing.T) {
	b := &sshBox{dir: t.TempDir(), ssh: tooltest.Find(t, "ssh", "Debian: apt-get install openssh-client")}
	keygen := tooltest.Find(t, "ssh-keygen", "Debian: apt-get install openssh-client")
	host, hostPublic := b.keygen(t, keygen, "host", "ed25519")
	_, ed := b.keygen(t, keygen, "ed25519", "ed25519")
	_, rsa := b.keygen(t, keygen, "rsa", "rsa")
	b.keygen(t, keygen, "stranger", "ed25519")
	inEach(t, func(t *testing.T, isolated func(func(*config.Config)) func(*config.Config)) {
		s := serve(t, "ssh",
			isolated(goServer(2, map[string]any{"host_key": host, "authorized": ed + "\n" + rsa + "\n"})))
		b.knows(t, s.port("ssh"), hostPublic)
		testSSH(t, s, b)
	})
}

// testSSH runs commands.
func testSSH(t *testing.T, s *server, b *sshBox) {
	big := strings.Repeat("0123456789abcde\n", 200_000)
	for _, c := range []struct {
		name, key, stdin string
		args             []string
		want             string
		status           int
	}{
		{"a command", "ed25519", "", []string{"echo", "hello"}, "hello\n", 0},
		{"an RSA key", "rsa", "", []string{"whoami"}, "tester\n", 0},
		{"its status", "ed25519", "", []string{"nonsense"}, "nonsense: no such command; help lists them\n", 127},
		{"lines", "ed25519", "echo one\necho two\nexit\necho three\n", nil, "one\ntwo\n", 0},
		{"much, both ways", "ed25519", big, []string{"cat"}, big, 0},
		{"a terminal", "ed25519", "echo hi\rexit\r", []string{"-tt"}, "wirehost> echo hi\r\nhi\r\nwirehost> exit\r\n",
			0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, status := b.command(t, c.key, c.stdin, c.args...)
			if c.name == "a terminal" {
				out, _, _ = strings.Cut(out, "Connection to ")
			}
			if out != c.want || status != c.status {
				t.Errorf("found %.300q, status %d; wanted %.300q, %d\n%s", out, status, c.want, c.status, s.log)
			}
		})
	}
	t.Run("a stranger", func(t *testing.T) {
		out, status := b.command(t, "stranger", "", "whoami")
		if status != 255 || !strings.Contains(out, "Permission denied (publickey)") {
			t.Errorf("found %q, status %d", out, status)
		}
	})
	t.Run("sleep", func(t *testing.T) {
		begin := time.Now()
		if out, status := b.command(t, "ed25519", "", "sleep", "300ms"); out != "" || status != 0 {
			t.Errorf("found %q, status %d", out, status)
		}
		if took := time.Since(begin); took < 300*time.Millisecond {
			t.Errorf("took %v, wanted 300 ms at least", took)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				want := fmt.Sprintf("%d\n", i)
				if out, status := b.command(t, "ed25519", "", "echo", fmt.Sprint(i)); out != want || status != 0 {
					t.Errorf("found %q, status %d", out, status)
				}
			})
		}
		wg.Wait()
	})
}
