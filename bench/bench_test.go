package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/bench/same"
	"github.com/wirehost/wirehost/bench/same/names"
	"github.com/wirehost/wirehost/internal/tooltest"
)

func TestValueSizeMakesWholeMessages(t *testing.T) {
	for _, size := range []int{64, 128, 1 << 10, 16 << 10} {
		v := strings.Repeat("x", valueSize(size))
		msg := "*3\r\n$3\r\nSET\r\n$16\r\nkey:__rand_int__\r\n$" + strconv.Itoa(len(v)) + "\r\n" + v + "\r\n"
		if len(msg) != size {
			t.Errorf("a message of %d bytes, wanted %d", len(msg), size)
		}
	}
}

func TestParseRedis(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms",` +
		`"p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	for _, c := range []struct {
		name, out string
		want      sample
	}{
		{"after a warning", "WARN: could not fetch server CONFIG\n" + head +
			`"SET","90000.00","0.5","0.1","0.28","0.3","0.40","2"` + "\n", sample{rps: 90000, p50: 0.28, p99: 0.4}},
		{"nothing", "", nil},
		{"no values", head, nil},
		{"no number", head + `"SET","many","0.5","0.1","0.28","0.3","0.40","2"` + "\n", nil},
		{"another version", `"test","rps"` + "\n" + `"SET","90000.00"` + "\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseRedis(c.out)
			if (err == nil) != (c.want != nil) || fmt.Sprint(got) != fmt.Sprint(c.want) && c.want != nil {
				t.Fatalf("found %v, %v, wanted %v", got, err, c.want)
			}
		})
	}
}

func TestParseWrk(t *testing.T) {
	const out = "Running 1s test @ http://127.0.0.1:8/\n  Latency Distribution\n     50%  450.00us\n     75%    " +
		"1.00ms\n" +
		"     90%    1.20ms\n     99%    1.50s\n  12345 requests in 1.10s, 1.4MB read\nRequests/sec:  11222.70\n"
	want := sample{counted: 12345, rps: 11222.7, p50: 0.45, p99: 1500}
	if got, err := parseWrk(out); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found %v, %v, wanted %v", got, err, want)
	}
	for _, bad := range []string{"", out + "  Non-2xx or 3xx responses: 3\n", strings.Replace(out, "50%", "", 1)} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("found %v in %q, wanted an error", got, bad)
		}
	}
}

// TestTalks: the dialogues go well with the servers run natively, and find what is wrong.
func TestTalks(t *testing.T) {
	for name, talk := range talks {
		serve, err := same.Server(name)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go serve(ln) // until it is closed
		one := benchCase{talk: name}
		if err := one.check(ln.Addr().String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c, err := net.Dial("tcp", listen(t, func(c net.Conn) {
			fmt.Fprint(c, "220 nonsense\r\n")
			c.Close()
		}))
		if err != nil {
			t.Fatal(err)
		}
		if talk(c) == nil {
			t.Errorf("%s: found no fault in a server that talks nonsense", name)
		}
	}
}

// TestNames: the name servers answer what the client asks, and it finds what is wrong.
func TestNames(t *testing.T) {
	for name, listen := range map[string]func(*testing.T) string{"Go": goNames, "C": cNames} {
		t.Run(name, func(t *testing.T) {
			one := datagramSource{addr: listen(t), talk: asked{}, size: questionSize, inFlight: 4}
			var out strings.Builder
			if err := loadDatagrams(one, 3, 120, &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), `"Requests":120`) {
				t.Errorf("found %s, wanted 120 answers", &out)
			}
		})
	}
	q := make([]byte, questionSize)
	asked{}.fill(q, 0)
	if (asked{}).answers(q, q) {
		t.Error("found no fault in a question in place of an answer")
	}
}

func goNames(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go names.Serve(c) // until it is closed
	return c.LocalAddr().String()
}

func cNames(t *testing.T) string {
	tooltest.Find(t, "clang-19", "")
	b := &bench{ctx: t.Context(), root: "..", dir: t.TempDir()}
	program, err := b.nativeC("dns_native")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
	var addr string
	if _, err := fmt.Fscanf(out, "listening %s\n", &addr); err != nil {
		t.Fatal(err)
	}
	return addr
}

// TestGuestsInC: they can be built.
func TestGuestsInC(t *testing.T) {
	tooltest.Find(t, "clang-19", "")
	b := &bench{ctx: t.Context(), root: "..", dir: t.TempDir()}
	for _, name := range []string{"echo_guest", "dns_guest"} {
		if _, err := b.guestC(name); err != nil {
			t.Error(err)
		}
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	of := []sample{{cpuUs: 1}, {cpuUs: 20}, {cpuUs: 3}}
	to := []sample{{cpuUs: 2}, {cpuUs: 40}, {cpuUs: 4}}
	if got := ratio(of, to, cpuUs); got != 0.5 {
		t.Fatalf("found %g, wanted 0.5", got)
	}
	if got := ratio(of, nil, cpuUs); got != 0 {
		t.Fatalf("found %g, wanted 0: not known", got)
	}
}

func TestVerdicts(t *testing.T) {
	r := []result{
		{key: key{"c1", "net"}, Samples: []sample{{cpuUs: 10}}},
		{key: key{"c1", "wasm/loop"}, Samples: []sample{{cpuUs: 7}}},
		{key: key{"c50", "net"}, Samples: []sample{{cpuUs: 10}}},
		{key: key{"c50", "wasm/loop"}, Samples: []sample{{cpuUs: 9.6}}},
		{key: key{"accept", "wasm/loop"}, Medians: sample{rps: 4999}, Samples: []sample{{cpuUs: 20}}},
		{key: key{"accept", routed}, Samples: []sample{{cpuUs: 31}}},
	}
	var got []string
	for _, v := range verdicts(r) {
		got = append(got, fmt.Sprint(v.Name, " ", v.Met))
	}
	want := []string{"CPU to net, 1 connection true", "CPU to net, 50 connections false",
		"connections a second, each new false", "routed: CPU µs more for each connection false"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Fatalf("found %q, wanted %q", got, want)
	}
}

// listen serves each connection with fn.
func listen(t *testing.T, fn func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go fn(c)
		}
	}()
	return ln.Addr().String()
}

func TestCheckContentFindsOldBytes(t *testing.T) {
	honest := listen(t, func(c net.Conn) { echo(c, make([]byte, 4096)) })
	if err := checkContent(honest, 4, 64, 16); err != nil {
		t.Fatal(err)
	}
	// The right counts, from a buffer that is never read into again.
	stale := listen(t, func(c net.Conn) {
		defer c.Close()
		first, buf := make([]byte, 4096), make([]byte, 4096)
		for n := 0; ; n++ {
			into := buf
			if n == 0 {
				into = first
			}
			k, err := c.Read(into)
			if err != nil {
				return
			}
			if _, err := c.Write(first[:k]); err != nil {
				return
			}
		}
	})
	if err := checkContent(stale, 2, 64, 1); err == nil {
		t.Fatal("found no fault in a server that echoes old bytes")
	}
}

func TestLoadComparesContent(t *testing.T) {
	zeros := listen(t, func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			c.Write(make([]byte, n))
		}
	})
	w := worker{addr: zeros, size: 64}
	c, err := w.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(checkTimeout)); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, 64)
	fill(msg, 1)
	if err := exchange(c, msg, make([]byte, 64)); err == nil {
		t.Fatal("found no fault in a server that sends zeros")
	}
}

func TestServingFindsTheAddress(t *testing.T) {
	for line, want := range map[string]string{
		"listening 127.0.0.1:5": "127.0.0.1:5",
		`2026-11-23T20:44:50Z [INFO]  ready: listening="tcp://127.0.0.1:6 tcp://127.0.0.1:7"`: "127.0.0.1:6",
		"2026-11-23T20:44:50Z [INFO]  ready: listening=tcp://127.0.0.1:8":                     "127.0.0.1:8",
		"2026-11-23T20:44:50Z [INFO]  listening: endpoint=tcp://127.0.0.1:9":                  "",
	} {
		to := make(chan string, 1)
		listening(strings.NewReader("other\n"+line+"\nmore\n"), to, &tail{})
		if got := <-to; got != want {
			t.Errorf("%s: found %q, wanted %q", line, got, want)
		}
	}
}

func TestExtismEchoes(t *testing.T) {
	p, err := newExtism(extismGuest)
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, func(c net.Conn) { p.serve(c, make([]byte, 16<<10)) })
	for _, size := range []int{1, 7, 8, 64, 4097, 16 << 10} {
		if err := checkContent(addr, 4, size, 1); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// TestAssembled holds each .wasm of testdata against its .wat.
func TestAssembled(t *testing.T) {
	wat2wasm := tooltest.Find(t, "wat2wasm", "")
	for _, wasm := range []string{extismGuest, envoyGuest} {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if text, err := exec.Command(wat2wasm, strings.TrimSuffix(wasm, ".wasm")+".wat", "-o", out).
			CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		want, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(wasm); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its .wat assembles to (%v)", wasm, err)
		}
	}
}
