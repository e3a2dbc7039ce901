package host

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
	"github.com/wirehost/wirehost/reactor"
)

// endless is a guest that makes one host call for ever: its import, its
// parameters, and what comes before the loop.
type endless struct{ name, imports, before, call string }

func endlessCalls() []endless {
	const (
		long = "(i32.const 65536) (i32.const 65536)" // 64 KiB of memory
		iov  = `(local.set $i (i32.const 0)) (loop $fill
			(i32.store (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
			(i32.store (i32.add (i32.const 131076) (i32.mul (local.get $i) (i32.const 8))) (i32.const %d))
			(local.set $i (i32.add (local.get $i) (i32.const 1)))
			(br_if $fill (i32.lt_u (local.get $i) (i32.const 1024))))`
		newlines = "(memory.fill (i32.const 65536) (i32.const 10) (i32.const 65536))"
		texts    = "(memory.fill (i32.const 65536) (i32.const 65) (i32.const 65536))"
		sub      = "(import \"wasi_snapshot_preview1\" \"%s\" (func $f %s (result i32)))"
	)
	transport := func(name, params string) string {
		return fmt.Sprintf("(import \"transport\" \"%s\" (func $f %s (result i32)))", name, params)
	}
	wasi := func(name, params string) string { return fmt.Sprintf(sub, name, params) }
	return []endless{
		{"nothing", "(func $f (result i32) (i32.const 0))", "", ""},
		{"write 0", transport("write", "(param i32 i32 i32)"), "", "(local.get $c) (i32.const 65536) (i32.const 0)"},
		{"write 1", transport("write", "(param i32 i32 i32)"), "", "(local.get $c) (i32.const 65536) (i32.const 1)"},
		{"write 4 KiB", transport("write", "(param i32 i32 i32)"), "",
			"(local.get $c) (i32.const 65536) (i32.const 4096)"},
		{"write 64 KiB", transport("write", "(param i32 i32 i32)"), "", "(local.get $c) " + long},
		{"write 16 MiB", transport("write", "(param i32 i32 i32)"), "",
			"(local.get $c) (i32.const 0) (i32.const 16000000)"},
		{"writeSequence of nothing", transport("writeSequence", "(param i32 i32 i32)"), fmt.Sprintf(iov, 0),
			"(local.get $c) (i32.const 131072) (i32.const 1024)"},
		{"writeSequence of 1", transport("writeSequence", "(param i32 i32 i32)"), fmt.Sprintf(iov, 1),
			"(local.get $c) (i32.const 131072) (i32.const 1024)"},
		{"writeSequence of 64 KiB", transport("writeSequence", "(param i32 i32 i32)"), fmt.Sprintf(iov, 65536),
			"(local.get $c) (i32.const 131072) (i32.const 1024)"},
		{"writeSequence of 8 MiB", transport("writeSequence", "(param i32 i32 i32)"), fmt.Sprintf(iov, 8<<20),
			"(local.get $c) (i32.const 131072) (i32.const 1024)"},
		{"getPeer", transport("getPeer", "(param i32 i32 i32)"), "", "(local.get $c) " + long},
		{"getHost", transport("getHost", "(param i32 i32 i32)"), "", "(local.get $c) " + long},
		{"getPeerCertificate", transport("getPeerCertificate", "(param i32 i32 i32)"), "", "(local.get $c) " + long},
		{"setTimeout", transport("setTimeout", "(param i32 i32)"), "", "(local.get $c) (i32.const 1000)"},
		{"setTcpNoDelay", transport("setTcpNoDelay", "(param i32 i32)"), "", "(local.get $c) (i32.const 1)"},
		{"resumeProducing", transport("resumeProducing", "(param i32)"), "", "(local.get $c)"},
		{"callLater", `(import "reactor" "callLater" (func $f (param i32) (result i32)))`, "", "(i32.const 1000000)"},
		{"connect", `(import "reactor" "connect" (func $f (param i32 i32 i32) (result i32)))`,
			"(i32.store (i32.const 65536) (i32.const 0x3a706374))",
			"(i32.const 65536) (i32.const 1024) (i32.const 1000)"},
		{"connect allowed", `(import "reactor" "connect" (func $f (param i32 i32 i32) (result i32)))`,
			"", "(i32.const 256) (i32.const 17) (i32.const 1000)"},
		{"factory.config", `(import "factory" "config" (func $f (param i32 i32) (result i32)))`, "",
			"(i32.const 0) (i32.const 16000000)"},
		{"log.emit of nothing", `(import "log" "emit" (func $f (param i32 i32 i32) (result i32)))`, "",
			"(i32.const 4) (i32.const 0) (i32.const 0)"},
		{"log.emit of 16 MB", `(import "log" "emit" (func $f (param i32 i32 i32) (result i32)))`, "",
			"(i32.const 4) (i32.const 0) (i32.const 16000000)"},
		{"fd_write of newlines", wasi("fd_write", "(param i32 i32 i32 i32)"),
			newlines + `(i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))`,
			"(i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)"},
		{"fd_write of 1024 newlines", wasi("fd_write", "(param i32 i32 i32 i32)"), newlines + fmt.Sprintf(iov, 1),
			"(i32.const 1) (i32.const 131072) (i32.const 1024) (i32.const 16)"},
		{"fd_write of nothing", wasi("fd_write", "(param i32 i32 i32 i32)"), fmt.Sprintf(iov, 0),
			"(i32.const 1) (i32.const 131072) (i32.const 1024) (i32.const 16)"},
		{"fd_write of text", wasi("fd_write", "(param i32 i32 i32 i32)"), texts + fmt.Sprintf(iov, 60000),
			"(i32.const 1) (i32.const 131072) (i32.const 1024) (i32.const 16)"},
		{"metrics.define", `(import "metrics" "define" (func $f (param i32 i32 i32) (result i32)))`, "",
			"(i32.const 3) (i32.const 273) (i32.const 1)"},
		{"metrics.define of no name", `(import "metrics" "define" (func $f (param i32 i32 i32) (result i32)))`, "",
			"(i32.const 3) (i32.const 0) (i32.const 16000000)"},
		{"metrics.record", `(import "metrics" "define" (func $d (param i32 i32 i32) (result i32)))
			(import "metrics" "record" (func $f (param i32 f64) (result i32)))`,
			"(drop (call $d (i32.const 3) (i32.const 273) (i32.const 1)))", "(i32.const 1) (f64.const 1e9)"},
		{"random", `(import "reactor" "random" (func $f (param i32 i32) (result i32)))`, "", long},
		{"time", `(import "reactor" "time" (func $f (result f64)))`, "", ""},
		{"random_get", wasi("random_get", "(param i32 i32)"), "", long},
		{"poll_oneoff", wasi("poll_oneoff", "(param i32 i32 i32 i32)"), "",
			"(i32.const 65536) (i32.const 131072) (i32.const 64) (i32.const 16)"},
		{"clock_time_get", wasi("clock_time_get", "(param i32 i64 i32)"), "",
			"(i32.const 0) (i64.const 0) (i32.const 16)"},
		{"memory.grow", "(func $f (param i32) (result i32) (i32.const 0))", "", "(memory.grow (i32.const 65000))"},
		{"state", `(import "transport" "state" (func $f (param i32) (result i32)))`, "", "(local.get $c)"},
	}
}

func (e endless) build(tb testing.TB) string {
	tb.Helper()
	imports, own := e.imports, ""
	if e.imports[:6] == "(func " {
		imports, own = "", e.imports
	}
	text := `(module ` + imports + `
		(memory (export "memory") 300)
		(data (i32.const 256) "tcp://127.0.0.1:9m")
		(func (export "abi_version_1"))
		(func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
		(func (export "connectionMade") (param i32))
		(func (export "delayedCall") (param i32))
		(func (export "clientConnectionFailed") (param i32 i32))
		(func (export "dataReceived") (param $c i32) (param i32 i32) (local $i i32)
			` + e.before + `(loop $l (drop (call $f ` + e.call + `)) (br $l)))
		(func (export "connectionLost") (param i32 i32)) ` + own + `)`
	dir := tb.TempDir()
	wat, wasm := filepath.Join(dir, "guest.wat"), filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(wat, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command(tooltest.Find(tb, "wat2wasm", ""), wat, "-o", wasm).CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v: %s", e.name, err, out)
	}
	return wasm
}

// BenchmarkEndlessCalls reports for how long a callback runs, of 20 ms, that does
// nothing but make one host call.
func BenchmarkEndlessCalls(b *testing.B) {
	for _, e := range endlessCalls() {
		b.Run(e.name, func(b *testing.B) {
			p := config.Plugin{Module: e.build(b),
				Limits: config.Limits{CallbackTime: 20 * time.Millisecond, ConnectionsOut: 100000}}
			p.Allow.Connect, p.Allow.Private = []string{"tcp://127.0.0.1:9", "tcp://*.example:9"}, true
			p.Config = map[string]any{"x": string(make([]byte, 100000))}
			cfg := configuration(p)
			cfg.Reactor.Loops = 1
			s := serve(b, cfg)
			var took []time.Duration
			n := 0
			for b.Loop() {
				c := dial(b, s.addrs[0])
				s.await(b, 1)
				before := turnTime(b, s.reactor.Loops()[0])
				send(b, c, "x")
				go io.Copy(io.Discard, c) // a reader as fast as can be
				n++
				s.logs.await(b, trapNote, n)
				s.await(b, 0)
				took = append(took, turnTime(b, s.reactor.Loops()[0])-before)
				c.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "median-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "max-ms")
		})
	}
}

// turnTime is how long a loop's turns have taken, all together.
func turnTime(tb testing.TB, l *reactor.Loop) (took time.Duration) {
	if err := onLoop(l, func() { took = l.Details().TurnTime }); err != nil {
		tb.Fatal(err)
	}
	return took
}
