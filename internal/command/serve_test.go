package command

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// anyPorts makes the built-in listeners take free ports.
var anyPorts = []string{"serve", "--set=listeners.0.endpoint=tcp://127.0.0.1:0",
	"--set=listeners.1.endpoint=tcp://127.0.0.1:0"}

func skipWithoutSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no signals on Windows")
	}
}

func TestServeWithoutFile(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, anyPorts...)
	at := p.ready()
	for i, text := range []string{"hello", "hello\r\n"} {
		c := dial(t, at[i])
		exchange(t, c, text)
		c.Close()
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0:\n%s", code, p.stderr())
	}
	for i, want := range []string{"nc ", "nc -C "} {
		host, port, _ := net.SplitHostPort(at[i])
		if want += host + " " + port; !strings.Contains(p.stdout.String(), want) {
			t.Errorf("found no %q in %q", want, p.stdout.String())
		}
	}
}

func TestInterruptDrains(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, anyPorts...)
	c := dial(t, p.ready()[0])
	exchange(t, c, "before")
	p.signal(os.Interrupt)
	p.await("shutting down")
	exchange(t, c, "meanwhile")
	c.Close()
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0:\n%s", code, p.stderr())
	}
}

func TestDrainTimeout(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, append(anyPorts, "--set=reactor.drain_timeout=50ms")...)
	c := dial(t, p.ready()[0])
	exchange(t, c, "before")
	p.signal(syscall.SIGTERM)
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("found %q, %v, wanted the end", b, err)
	}
	p.await("ended; connections that had not finished were closed")
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0:\n%s", code, p.stderr())
	}
}

func TestSecondSignal(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, anyPorts...)
	exchange(t, dial(t, p.ready()[0]), "before")
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	p.signal(os.Interrupt)
	if code := p.end(); code != exitForced {
		t.Errorf("found exit code %d, wanted %d:\n%s", code, exitForced, p.stderr())
	}
}

// With pre_stop the first signal leaves all as it is, the second one ends that time, and the
// third one the connections.
func TestThirdSignal(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, append(anyPorts, "--set=reactor.pre_stop=1h", "--set=reactor.drain_timeout=1h")...)
	at := p.ready()[0]
	first := dial(t, at)
	exchange(t, first, "before")
	p.signal(syscall.SIGTERM)
	p.await("unready; serving on before listeners close")
	exchange(t, dial(t, at), "still taken")
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	for { // until listeners have closed
		c, err := net.Dial("tcp", at)
		if err != nil {
			break
		}
		c.Close()
	}
	exchange(t, first, "finishing")
	p.signal(syscall.SIGTERM)
	if b, err := io.ReadAll(first); len(b) > 0 {
		t.Errorf("found %q, %v, wanted the end", b, err)
	}
	if code := p.end(); code != exitForced {
		t.Errorf("found exit code %d, wanted %d:\n%s", code, exitForced, p.stderr())
	}
}

func TestSignalDuringStart(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, append(anyPorts, "--set=cache.dir=off")...)
	p.await("starting")
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFailed {
		t.Errorf("found exit code %d, wanted %d", code, exitFailed)
	}
	log := p.stderr()
	for _, bad := range []string{`"msg":"ready"`, "goroutine ", "panic"} {
		if strings.Contains(log, bad) {
			t.Errorf("found %q in\n%s", bad, log)
		}
	}
	if n := strings.Count(log, `"level":"error"`); n != 1 || !strings.Contains(log, "stopped during start-up") {
		t.Errorf("found %d errors, wanted one:\n%s", n, log)
	}
}

func TestQuitIsGos(t *testing.T) {
	skipWithoutSignals(t)
	p := start(t, anyPorts...)
	p.ready()
	p.signal(syscall.SIGQUIT)
	if code := p.end(); code != 2 || !strings.Contains(p.stderr(), "SIGQUIT: quit") {
		t.Errorf("found exit code %d:\n%s", code, p.stderr())
	}
}

func TestCacheThatCantBeWritten(t *testing.T) {
	skipWithoutSignals(t)
	file := write(t, "file", "")
	p := start(t, append(anyPorts, "--set=cache.dir="+filepath.Join(file, "cache"))...)
	if e := p.await("no cache of compiled modules"); e.text("level") != "warn" {
		t.Errorf("found %v, wanted a warning", e)
	}
	c := dial(t, p.ready()[0])
	exchange(t, c, "hello")
	c.Close()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0:\n%s", code, p.stderr())
	}
}

func TestReload(t *testing.T) {
	skipWithoutSignals(t)
	const plugin = "plugins: {e: {module: \"builtin:echo\"}}\n"
	file := write(t, "c.yaml", plugin+"listeners: [{endpoint: \"tcp://127.0.0.1:0\", plugin: e}]\n")
	change := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "serve", "--config", file)
	c := dial(t, p.ready()[0])
	exchange(t, c, "first")

	change("log: {levle: info}\n")
	p.signal(syscall.SIGHUP)
	e := p.await("reload failed; what ran before runs on")
	if !strings.Contains(e.text("err"), file+":1: log.levle: ") {
		t.Errorf("found %v", e)
	}
	exchange(t, c, "after bad configuration")

	change("plugins: {e: {module: gone.wasm}}\n")
	p.signal(syscall.SIGHUP)
	if e := p.await("reload failed; what ran before runs on"); !strings.Contains(e.text("err"), "gone.wasm") {
		t.Errorf("found %v", e)
	}
	exchange(t, c, "after a bad plugin")

	change(plugin + "listeners: [{endpoint: \"tcp://127.0.0.1:0\", plugin: e}]\nlog: {level: debug}\n")
	p.signal(syscall.SIGHUP)
	p.await("reloaded") // at the level that it brings
	exchange(t, c, "after a reload")
	c.Close()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("found exit code %d, wanted 0:\n%s", code, p.stderr())
	}
	if p.stdout.Len() > 0 {
		t.Errorf("found %q on stdout, wanted nothing", p.stdout.String())
	}
}
