//go:build unix

package command

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// upgrades is how often TestUpgrade upgrades, and with how many connections.
func upgrades() (times, connections int) {
	times, connections = 3, 50
	if n, err := strconv.Atoi(os.Getenv("WIREHOST_TEST_UPGRADES")); err == nil {
		times, connections = n, 500
	}
	return times, connections
}

// Connections count on under upgrades: nothing is lost, doubled or out of order, and no
// connect is refused.
func TestUpgrade(t *testing.T) {
	u := startUpgraded(t, "")
	times, connections := upgrades()
	u.stream(connections)
	u.connect()
	for n := range times {
		out, err := u.upgrade()
		if err != nil {
			t.Fatalf("upgrade %d: %v\n%s", n, err, u.p.stderr())
		}
		moved, stay := 0, 0
		for _, d := range out.Plugins {
			moved, stay = moved+d.Moved, stay+d.Stay
		}
		staying := connections / kinds
		if want := connections - staying; moved < want || n == 0 && stay < staying {
			t.Errorf("upgrade %d: %d moved and %d stay, wanted %d and, at first, %d: %+v", n, moved, stay, want,
				staying, out)
		}
		t.Logf("upgrade %d: %+v", n, out)
	}
	u.asked(connections)
	u.end()
}

// asked has the last process asked: it tells which process has what, and closes what another
// one has.
func (u *upgraded) asked(connections int) {
	u.t.Helper()
	var page host.ConnPage
	at := "--admin=unix://" + u.dir + "/admin.sock"
	r := command(u.t, "conns", "-o", "json", at)
	if err := json.Unmarshal([]byte(r.stdout), &page); err != nil {
		u.t.Fatal(err, r.stderr)
	}
	own, id := 0, ""
	told := map[string]bool{}
	for _, c := range page.Connections {
		if told[c.ID] {
			u.t.Errorf("found connection %s twice", c.ID)
		}
		told[c.ID] = true
		switch {
		case c.Process == "":
			own++
		case c.Encrypted:
			id = c.ID
		default:
			u.t.Errorf("found %+v in another process", c)
		}
	}
	if others := len(page.Connections) - own; others < connections/kinds || own < connections-connections/kinds {
		u.t.Errorf("found %d connections, and %d of others: %v", own, others, r.stderr)
	}
	if sorted := command(u.t, "conns", "-o", "json", "--sort=age", "--limit=3", at); sorted.code != exitFine {
		u.t.Errorf("found %s", sorted.stderr)
	}
	u.mayBreak.Store(true)
	if r := command(u.t, "conns", "close", id, at); r.code != exitFine {
		u.t.Errorf("closing %s: found %s", id, r.stderr)
	}
}

// A dry run says what would move, and moves nothing.
func TestUpgradeDryRun(t *testing.T) {
	u := startUpgraded(t, "")
	u.stream(10)
	out, err := u.upgrade("--dry-run")
	if err != nil {
		t.Fatal(err)
	}
	moved, stay := map[string]int{}, map[string]int{}
	for _, d := range out.Plugins {
		moved[d.Plugin], stay[d.Plugin] = d.Moved, d.Stay
	}
	if !out.DryRun || out.PID != 0 || moved["loop"] != 6 || stay["loop"] != 1 || moved["each"] != 3 ||
		stay["each"] != 0 {
		t.Errorf("found %+v", out)
	}
	u.end()
}

// A new process that can't start leaves everything as it was, the administration's socket
// too, and the next one takes over.
func TestUpgradeCantStart(t *testing.T) {
	u := startUpgraded(t, "")
	u.stream(5)
	file := filepath.Join(u.dir, "c.yaml")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := append(slices.Clone(good), "  - {endpoint: \"unix://"+u.dir+"/none/x.sock\", plugin: loop}\n"...)
	for _, text := range [][]byte{bad, good} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := u.upgrade(); (err == nil) != bytes.Equal(text, good) {
			t.Errorf("found %v", err)
		}
	}
	u.end()
	if _, err := os.Lstat(u.dir + "/admin.sock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the administration's socket: found %v", err)
	}
}

// TestUpgradeKeeps: of modules that are replaced while a process takes over there are as many
// copies as versions are kept, and the last process writes which these are.
func TestUpgradeKeeps(t *testing.T) {
	echo, err := os.ReadFile("../../plugins/echo/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	u := upgradedIn(t)
	dir := u.dir
	u.configure("state: {dir: \"$dir/state\"}\nlisteners: []\n" +
		"plugins: {p: {module: \"$dir/p.wasm\", watch: false, keep_versions: 1}}\n")
	var sums []string
	for n := range 3 {
		module := string(echo) + "\x00\x02\x01" + strconv.Itoa(n) // a custom section, of a name alone
		replace(t, dir+"/p.wasm", []byte(module))
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256([]byte(module))))
		if n == 0 {
			u.start()
		} else if _, err := u.upgrade(); err != nil {
			t.Fatalf("%v\n%s", err, u.p.stderr())
		}
	}
	copies, err := filepath.Glob(dir + "/state/*/modules/*")
	if err != nil || len(copies) != 2 {
		t.Errorf("found the copies %q, %v, wanted those of the last two", copies, err)
	}
	u.end()
	files, err := filepath.Glob(dir + "/state/*/state.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("found the files %q, %v, wanted one", files, err)
	}
	text, err := os.ReadFile(files[0])
	for n, sum := range sums {
		if found := bytes.Contains(text, []byte(sum)); err != nil || found != (n > 0) {
			t.Errorf("found version %d in the state: %t, %v; wanted the last two:\n%s", n, found, err, text)
		}
	}
}

// Unix sockets that a service manager has given are its own after an upgrade too: their
// files stay.
func TestUpgradeActivated(t *testing.T) {
	dir := shortDir(t)
	var files []*os.File
	for _, name := range []string{"echo", "admin"} {
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "datagrams"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files = append(files, f)
	file := filepath.Join(dir, "c.yaml")
	text := "admin: {listen: \"unix://" + dir + "/admin\"}\nplugins: {p: {module: \"builtin:echo\"}, " +
		"d: {module: \"" + guestModule(t, "datagrams") + "\"}}\n" +
		"listeners: [{endpoint: \"unix://" + dir + "/echo\", plugin: p}, " +
		"{endpoint: \"unixgram://" + dir + "/datagrams\", plugin: d}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" serve --config="+file, binary)
	cmd.Env = []string{"HOME=" + dir, "WIREHOST_CACHE__DIR=" + cacheDir, "LISTEN_FDS=3"}
	cmd.ExtraFiles = files
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }() // where it has not ended
	for range 2 {
		r := command(t, "upgrade", "-o", "json", "--admin=unix://"+dir+"/admin") // it waits until it is served
		var out host.Upgraded
		if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
			t.Fatal(err, r.stderr)
		}
		pid = out.PID
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	log, err := io.ReadAll(stderr) // until the last process has ended
	if err = errors.Join(err, cmd.Wait()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"echo", "admin", "datagrams"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	}
}

// Whichever process is killed, at whatever moment of an upgrade, the other one serves.
func TestUpgradeKilled(t *testing.T) {
	points := 3
	if n, err := strconv.Atoi(os.Getenv("WIREHOST_TEST_KILLS")); err == nil {
		points = n
	}
	for n := range points {
		for _, victim := range []string{"old", "new"} {
			t.Run(fmt.Sprintf("%s %d", victim, n), func(t *testing.T) { killOne(t, victim, n, points) })
		}
	}
}

// killOne kills the old or the new process at the nth of so many moments of an upgrade.
func killOne(t *testing.T, victim string, n, of int) {
	u := startUpgraded(t, "")
	u.mayBreak.Store(true)
	u.stream(16)
	done := make(chan error, 1)
	old := u.pid
	go func() {
		_, err := u.upgrade()
		done <- err
	}()
	young, _ := u.p.await("upgrade: the new process is started")["pid"].(float64)
	pid, other := old, int(young)
	if victim == "new" {
		pid, other = int(young), old
	}
	const longest = 300 * time.Millisecond // of an upgrade here
	moment := time.NewTimer(longest * time.Duration(n) / time.Duration(of))
	select { // when it is over, one is killed that serves alone, or has nothing to serve
	case <-moment.C:
	case err := <-done:
		done <- err
		if victim == "new" {
			other = 0
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
	err := <-done
	if victim == "new" && err == nil {
		other = 0 // it was over
	}
	if other != 0 {
		u.pid = other
		u.serves()
		u.end()
		return
	}
	close(u.stop)
	u.streaming.Wait()
	_ = syscall.Kill(old, syscall.SIGKILL) // it may have ended
	u.p.end()
}

// A new process that hangs, at whatever moment of the hand-over, is ended. What was not its own goes
// on, and what was is counted.
func TestUpgradeHangs(t *testing.T) {
	points := 1
	if n, err := strconv.Atoi(os.Getenv("WIREHOST_TEST_KILLS")); err == nil {
		points = n
	}
	for n := range points {
		t.Run(strconv.Itoa(n), func(t *testing.T) { hangOne(t, n, points) })
	}
}

// hangOne stops the new process at the nth of so many moments.
func hangOne(t *testing.T, n, of int) {
	u := startUpgraded(t, "")
	u.mayBreak.Store(true)
	u.stream(30)
	done := make(chan error, 1)
	old := u.pid
	go func() {
		_, err := u.upgrade()
		done <- err
	}()
	young, _ := u.p.await("upgrade: the new process is ready")["pid"].(float64)
	const longest = 40 * time.Millisecond // of a hand-over here
	time.Sleep(longest * time.Duration(n) / time.Duration(of))
	if err := syscall.Kill(int(young), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if err == nil { // it was over
		if err := syscall.Kill(u.pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
		u.end()
		return
	}
	lost := int64(0)
	if _, text, found := strings.Cut(err.Error(), "goes on, without "); found {
		if _, err := fmt.Sscanf(text, "%d connections that had moved", &lost); err != nil {
			t.Error(err)
		}
	}
	u.pid = old
	u.serves()
	u.end()
	if broke := u.broke.Load(); broke != lost {
		t.Errorf("found %d streams that broke, and %d that are told: %v", broke, lost, err)
	}
	t.Logf("at %d of %d: %v", n, of, err)
}

// A process in which a plugin does not start that runs in this one takes nothing over: its module
// was replaced by one that this process has refused, or has not looked at. One that did not start
// here either holds nothing up.
func TestUpgradeRefused(t *testing.T) {
	bad := guest(func(m *wasmbin.Module) {
		m.Code[0] = wasmbin.Code{Body: []byte{0x00, 0x0b}} // unreachable
		m.Exports = append(m.Exports, wasmbin.Export{Name: "_initialize", Kind: wasmbin.KindFunction, Index: 0})
	})
	good, never := write(t, "good.wasm", string(versioned(1))), write(t, "never.wasm", string(bad))
	u := startUpgraded(t, "include: ["+write(t, "more.yaml", "plugins: {good: {module: "+good+", watch: false}}\n")+
		"]\n")
	old := u.pid
	replace(t, good, bad)
	_, err := u.upgrade()
	want := "upgrade: the new process does not start what runs here: plugin good (good@"
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "trapped in _initialize") {
		t.Errorf("found %q, wanted %q and that it trapped in _initialize", err, want)
	}
	u.serves()
	replace(t, good, versioned(2))
	at := "--admin=unix://" + u.dir + "/admin.sock"
	if r := command(t, "plugin", "load", "never", never, at); r.code == exitFine {
		t.Errorf("found a plugin that does not start, loaded: %s", r.stdout)
	}
	if _, err := u.upgrade(); err != nil || u.pid == old {
		t.Errorf("found %v, wanted an upgrade", err)
	}
	u.serves()
	u.end()
}

// Nor does one take over that could not load a certificate that is served here. One that could
// not be loaded here either holds nothing up.
func TestUpgradeRefusedForCertificate(t *testing.T) {
	const broken = `  - {endpoint: "tls://127.0.0.1:0", plugin: each, tls: {cert: none.pem, key: none.pem}}`
	u := startUpgraded(t, broken+"\n")
	old, cert := u.pid, filepath.Join(u.dir, "cert.pem")
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, cert, []byte("none"))
	want := "TLS: cert " + cert
	if _, err := u.upgrade(); err == nil || !strings.Contains(err.Error(), "does not start what runs here: "+want) {
		t.Errorf("found %q, wanted %q", err, want)
	}
	u.serves()
	try := func(code int, want string) {
		r := command(t, "upgrade", "--dry-run", "--admin=unix://"+u.dir+"/admin.sock")
		if r.code != code || !strings.Contains(r.stdout, want) {
			t.Errorf("found %d, %q and %q, wanted %d and %q", r.code, r.stdout, r.stderr, code, want)
		}
	}
	try(exitFailed, "would refuse: ")
	try(exitFailed, "tls: cert "+cert)
	replace(t, cert, text)
	try(exitFine, "would move")
	if _, err := u.upgrade(); err != nil || u.pid == old {
		t.Errorf("found %v, wanted an upgrade", err)
	}
	u.serves()
	u.end()
}
