package operate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// full is a disk that takes some bytes more.
type full struct {
	strings.Builder
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	f.room -= n
	f.Builder.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *full) Close() error { return nil }

// TestAccessLogWholeLines: a line whose first half is what a full disk took is whole in the
// file that is opened then, whatever comes between; and where room comes, in the one it
// began in.
func TestAccessLogWholeLines(t *testing.T) {
	const text = "first\nsecond\nthird\n"
	for room := range len(text) {
		disk := &full{room: room}
		path := filepath.Join(t.TempDir(), "access")
		l := &logFile{path: path, log: hclog.NewNullLogger(), f: disk}
		n, err := l.Write([]byte(text))
		if n != room || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("found %d, %v, wanted %d bytes taken", n, err, room)
		}
		left := text[n:]
		if n, err := l.Write([]byte(left)); n != 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("found %d, %v, wanted nothing taken", n, err)
		}
		if room%2 == 0 { // somebody deletes something, but not enough
			disk.room = 1
			n, _ = l.Write([]byte(left))
			left = left[n:]
		}
		do(t, l.reopen())
		if n, err = l.Write([]byte(left)); n != len(left) || err != nil {
			t.Fatalf("found %d, %v, wanted all taken", n, err)
		}
		l.close()
		there, err := os.ReadFile(path)
		do(t, err)
		before := disk.String()
		before = before[:strings.LastIndex(before, "\n")+1]
		if before+string(there) != text {
			t.Errorf("room for %d: found %q and %q, wanted whole lines of %q", room, before, there, text)
		}
	}
}

// TestAccessLogHalfTwice: the file that is opened takes half of what is owed, and another
// comes after it.
func TestAccessLogHalfTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access")
	l := &logFile{path: path, log: hclog.NewNullLogger(), f: &full{room: 1}, half: []byte("abc"), owed: []byte("abc")}
	if n, err := l.Write([]byte("def\n")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("found %d, %v, wanted nothing taken", n, err)
	}
	do(t, l.reopen())
	_, err := l.Write([]byte("def\n"))
	do(t, err)
	l.close()
	if text, err := os.ReadFile(path); err != nil || string(text) != "abcdef\n" {
		t.Errorf("found %q, %v, wanted the whole line", text, err)
	}
}

// TestAccessLogCannotBeOpened: a start refuses it, a reload keeps what was there and says
// so, again and again until it can.
func TestAccessLogCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	bad := config.Config{
		Admin: config.Admin{Listen: "off"}, Cache: config.Cache{Dir: "off"}, State: config.State{Dir: "off"},
		AccessLog: config.AccessLog{To: "file://" + dir + "/none/access"},
	}
	s, err := New(bad, Options{Host: host.Options{Builtin: builtin}})
	do(t, err)
	err = s.Start(context.Background())
	if err == nil || !strings.Contains(err.Error(), "access_log.to: open "+dir+"/none/access: no such file") {
		t.Fatalf("found %v, wanted why there is no access log", err)
	}

	cfg := bad
	cfg.AccessLog.To = "file://" + dir + "/access"
	s, err = New(cfg, Options{Load: func(context.Context) (config.Config, error) { return cfg, nil }})
	do(t, err)
	do(t, s.Start(context.Background()))
	defer s.Shutdown(context.Background())
	reload := func(what string, want string) {
		t.Helper()
		change, err := s.Reload(context.Background())
		if found := strings.Join(change.Failed, "\n"); err != nil || found != want {
			t.Errorf("%s: found %q, %v, wanted %q", what, found, err, want)
		}
	}
	line := func(file, want string) {
		t.Helper()
		s.access.write(&host.ConnEnd{ID: want, Plugin: "p", Peer: "tcp://127.0.0.1:1"})
		awaitText(t, file, want)
	}
	line(dir+"/access", "p/1")
	cfg = bad
	for range 2 {
		reload("a folder that is not there", "access_log.to: open "+dir+"/none/access: no such file or directory")
		line(dir+"/access", "p/2")
	}
	do(t, os.Mkdir(dir+"/none", 0o700))
	reload("the folder is there", "")
	line(dir+"/none/access", "p/3")
	do(t, os.Rename(dir+"/none", dir+"/gone"))
	reload("it is renamed", "access_log.to: open "+dir+"/none/access: no such file or directory")
	line(dir+"/gone/access", "p/4")
}

// awaitText waits until a file has a text.
func awaitText(t *testing.T, path, want string) {
	t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), want) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("found %q, %v in %s, wanted %q", text, err, path, want)
		}
	}
}
