package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Names of what is measured. Units are in them.
const (
	cpuUs   = "cpu_us" // server's, per request
	rps     = "per_second"
	p50     = "p50_ms"
	p99     = "p99_ms"
	perConn = "bytes_per_connection"
	empty   = "empty_cache_s"
	warm    = "warm_cache_s"
	resid   = "resident_mb"
	others  = "others"  // processors that other programs took
	counted = "counted" // messages, where the client does not do what it is told
)

// sample is what one run measured.
type sample map[string]float64

// benchCase is one way to load a server.
type benchCase struct {
	name, title string
	conns       int
	size        int // bytes in a message
	inFlight    int
	tls         bool
	once        bool     // a connection for each message
	resume      bool     // its TLS session goes on from one before
	datagrams   bool     // UDP: conns are sources
	runs        bool     // what is in flight is one datagram to the system, up to the receiver (UDP_SEGMENT)
	dns         bool     // they are questions for the names of package names; size is theirs
	lines       int      // in a message, each with its CRLF; 0 = the bytes are no text
	talk        string   // a server of package same, and a dialogue with it; "" = echo
	pageOut     string   // of wirehost's instances; "" = the default
	only        []string // servers, by prefixes of their names, beside package net; none = all
	rate        int      // messages a second, roughly: how many fill a run
	metrics     []string // the first is what ratios are of
	run         func(b *bench, c *benchCase, s server) (sample, error)
}

var (
	loadMetrics = []string{cpuUs, rps, p50, p99}
	idleMetrics = []string{perConn}
	talkMetrics = []string{p50, cpuUs, rps, p99}
	wakeMetrics = []string{p99, p50, cpuUs}

	datagramServers = []string{"epoll", "reactor", "wasm/loop", "wasm-c/", "wasm-go/loop"}
	dnsServers      = []string{nativeC, "wasm-c/", "wasm-go/loop"}
)

func cases() []*benchCase {
	return []*benchCase{
		{name: "c1", title: "1 connection, 64 B", conns: 1, size: 64, inFlight: 1, rate: 20000, metrics: loadMetrics,
			run: (*bench).redis},
		{name: "c50", title: "50 connections, 64 B", conns: 50, size: 64, inFlight: 1, rate: 90000,
			metrics: loadMetrics,
			run:     (*bench).redis},
		{name: "c50p16", title: "50 connections, 64 B, 16 in flight on each", conns: 50, size: 64, inFlight: 16,
			rate: 1000000, metrics: loadMetrics, run: (*bench).redis},
		{name: "c50x16k", title: "50 connections, 16 KiB", conns: 50, size: 16 << 10, inFlight: 1, rate: 60000,
			metrics: loadMetrics, run: (*bench).redis},
		{name: "accept", title: "A new connection for each message of 1 B, 64 at a time", conns: 64, size: 1,
			inFlight: 1, once: true,
			rate: 8000, metrics: loadMetrics, run: (*bench).own},
		{name: "lines", title: "Lines of 64 B with CRLF, answered one by one, 32 in flight on each of 50 connections",
			conns: 50, size: 32 * 64, inFlight: 1, lines: 32, rate: 1000000, metrics: loadMetrics, run: (*bench).own},
		{name: "idle", title: "Idle connections after one message of 64 B", conns: idleConnections, size: 64,
			inFlight: 1,
			metrics:  idleMetrics, run: (*bench).idle},
		{name: "busy", title: "The same, and no instance is paged out", conns: idleConnections, size: 64, inFlight: 1,
			pageOut: "0s", only: []string{"wasm/", "wasm-go/"}, metrics: idleMetrics, run: (*bench).idle},
		{name: "most", title: "Open connections after one message of 64 B: the whole process", conns: mostConnections,
			size: 64, inFlight: 1, only: []string{"wasm/", "wasm-go/"}, metrics: []string{resid}, run: (*bench).idle},
		{name: "wake", title: "10,000 connections, 64 B on one of them after the other, 5,000 a second",
			conns: idleConnections, size: 64, inFlight: 1, rate: wakeRate, only: []string{"wasm/", "wasm-go/"},
			metrics: wakeMetrics, run: (*bench).own},
		{name: "tls", title: "TLS 1.3, 50 connections, 1 KiB", conns: 50, size: 1 << 10, inFlight: 1, tls: true,
			rate: 100000, metrics: loadMetrics, run: (*bench).own},
		{name: "tls16k", title: "TLS 1.3, 50 connections, 16 KiB", conns: 50, size: 16 << 10, inFlight: 1, tls: true,
			rate: 25000, metrics: loadMetrics, run: (*bench).own},
		{name: "tlsfull", title: "A TLS 1.3 handshake for each message of 1 B, 16 at a time", conns: 16, size: 1,
			inFlight: 1, tls: true, once: true, rate: 2000, metrics: loadMetrics, run: (*bench).own},
		{name: "tlsresumed", title: "The same, and each session goes on from one before", conns: 16, size: 1,
			inFlight: 1, tls: true, once: true, resume: true, rate: 2000, metrics: loadMetrics, run: (*bench).own},
		{name: "tlsidle", title: "Idle TLS connections after one message of 64 B", conns: idleConnections, size: 64,
			inFlight: 1, tls: true, metrics: idleMetrics, run: (*bench).idle},
		{name: "http", title: "net/http, 50 connections", conns: 50, talk: "http", rate: 20000, metrics: loadMetrics,
			run: (*bench).wrk},
		{name: "ssh", title: "x/crypto/ssh: a login and three commands of 4 KiB, one after the other", conns: 1,
			talk: "ssh", rate: 100, metrics: talkMetrics, run: (*bench).own},
		{name: "smtp", title: "go-smtp: three mails of 4 KiB on a connection, one after the other", conns: 1,
			talk: "smtp", rate: 500, metrics: talkMetrics, run: (*bench).own},
		{name: "udp", title: "UDP, 64 B, 64 sources, 8 in flight from each", conns: 64, size: 64, inFlight: 8,
			datagrams: true, only: datagramServers, rate: 300000, metrics: loadMetrics, run: (*bench).own},
		{name: "udpruns", title: "The same, and the 8 come as one that the receiver may take apart", conns: 64,
			size: 64, inFlight: 8, datagrams: true, runs: true, only: datagramServers, rate: 300000,
			metrics: loadMetrics, run: (*bench).own},
		{name: "udp1", title: "UDP, 64 B, 64 sources, one in flight from each", conns: 64, size: 64, inFlight: 1,
			datagrams: true, only: datagramServers, rate: 200000, metrics: loadMetrics, run: (*bench).own},
		{name: "dns", title: "DNS, 64 sources, 8 questions in flight from each", conns: 64, inFlight: 8,
			datagrams: true, dns: true, only: dnsServers, rate: 200000, metrics: loadMetrics, run: (*bench).own},
		{name: "ready", title: "From exec to ready, on all processors", metrics: []string{warm, empty},
			run: (*bench).ready},
	}
}

func caseNames() []string {
	var names []string
	for _, c := range cases() {
		names = append(names, c.name)
	}
	return names
}

// serve starts s for a case on the servers' processor.
func (b *bench) serve(c *benchCase, s server) (*process, error) {
	argv, err := s.argv(b, c)
	if err != nil {
		return nil, skipped{err}
	}
	return start(b.ctx, b.o.serverCPU, argv)
}

// skipped is why a server has no result in a case.
type skipped struct{ error }

func (s skipped) Unwrap() error { return s.error }

// redis drives a server with redis-benchmark, whose requests are valid replies:
// a SET of a value such that a message has the case's size.
func (b *bench) redis(c *benchCase, s server) (sample, error) {
	return b.loaded(c, s, func(p *process, requests int) (sample, time.Duration, error) {
		_, port, err := net.SplitHostPort(p.addr)
		if err != nil {
			return nil, 0, err
		}
		out, used, err := client(b.ctx, b.o.clientCPU, b.runTimeout(), "redis-benchmark", "-h", "127.0.0.1", "-p", port,
			"--csv",
			"-t", "set", "-d", strconv.Itoa(valueSize(c.size)), "-c", strconv.Itoa(c.conns), "-P",
			strconv.Itoa(c.inFlight), "-n", strconv.Itoa(requests))
		if err != nil {
			return nil, 0, err
		}
		m, err := parseRedis(out)
		return m, used, err
	})
}

// valueSize is -d for a whole message of size bytes. The request is
// *3 $3 SET $16 key:__rand_int__ $LEN VALUE, each followed by CRLF.
func valueSize(size int) int {
	const fixed = len("*3\r\n$3\r\nSET\r\n$16\r\nkey:__rand_int__\r\n$\r\n\r\n")
	d := size - fixed
	for d+len(strconv.Itoa(d)) > size-fixed {
		d--
	}
	return d
}

// parseRedis reads redis-benchmark --csv: a line of names, a line of values.
func parseRedis(out string) (sample, error) {
	_, out, found := strings.Cut(out, `"test",`)
	if !found {
		return nil, fmt.Errorf("redis-benchmark: found no CSV in %q", out)
	}
	rows, err := csv.NewReader(strings.NewReader(`"test",` + out)).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, fmt.Errorf("redis-benchmark: found %d rows, wanted 2: %w", len(rows), errors.Join(err))
	}
	m := sample{}
	names := map[string]string{"rps": rps, "p50_latency_ms": p50, "p99_latency_ms": p99}
	for i, column := range rows[0] {
		if name := names[column]; name != "" {
			if m[name], err = strconv.ParseFloat(rows[1][i], 64); err != nil {
				return nil, fmt.Errorf("redis-benchmark: %s: %w", column, err)
			}
		}
	}
	if len(m) != len(names) {
		return nil, fmt.Errorf("redis-benchmark: found columns %q, wanted rps, p50_latency_ms and p99_latency_ms",
			rows[0])
	}
	return m, nil
}

// own drives a server with this program's own client, "bench load".
func (b *bench) own(c *benchCase, s server) (sample, error) {
	return b.loaded(c, s, func(p *process, requests int) (sample, time.Duration, error) {
		out, used, err := client(b.ctx, b.o.clientCPU, b.runTimeout(), b.self, "load", "--addr", p.addr,
			fmt.Sprint("--tls=", c.tls), fmt.Sprint("--once=", c.once), fmt.Sprint("--resume=", c.resume),
			fmt.Sprint("--turns=", c.name == "wake"), fmt.Sprint("--udp=", c.datagrams), "--talk", c.talk,
			fmt.Sprint("--runs=", c.runs), fmt.Sprint("--dns=", c.dns),
			"--in-flight", strconv.Itoa(c.inFlight),
			"--conns", strconv.Itoa(c.conns), "--size", strconv.Itoa(c.size), "--lines", strconv.Itoa(c.lines),
			"--requests", strconv.Itoa(requests/max(c.lines, 1)))
		if err != nil {
			return nil, 0, err
		}
		var r loadResult
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			return nil, 0, fmt.Errorf("bench load: found %q: %w", out, err)
		}
		return sample{rps: float64(r.Requests*max(c.lines, 1)) / r.Seconds, p50: r.P50, p99: r.P99}, used, nil
	})
}

// runTimeout is far above what one run takes.
func (b *bench) runTimeout() time.Duration {
	return time.Minute + time.Duration(20*b.o.seconds*float64(time.Second))
}

// idle opens connections, sends one message on each, and looks at what the
// server's resident memory has grown by. It ends early where that is much.
func (b *bench) idle(c *benchCase, s server) (m sample, err error) {
	const much = 2 << 30
	p, err := b.serve(c, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = p.end(err) }()
	time.Sleep(settle)
	before, err := p.rss()
	if err != nil {
		return nil, err
	}
	after := before
	w := worker{addr: p.addr, size: c.size, tls: c.tls}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for n := 0; n < c.conns && after < much; n++ {
		conn, err := w.open(n)
		if err != nil {
			return nil, fmt.Errorf("connection %d of %d: %w", n, c.conns, err)
		}
		open = append(open, conn)
		if n%200 == 0 {
			if after, err = p.rss(); err != nil {
				return nil, err
			}
		}
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
	}
	if c.name == "most" && len(open) < c.conns {
		return nil, skipped{fmt.Errorf("%d connections took %d MB", len(open), after>>20)}
	}
	time.Sleep(settle)
	if c.pageOut == "" && strings.HasSuffix(s.name, "/connection") {
		time.Sleep(rest)
	}
	if after, err = p.rss(); err != nil {
		return nil, err
	}
	return sample{perConn: float64(after-before) / float64(len(open)), resid: float64(after) / (1 << 20)}, nil
}

const (
	// settle is how long a server may rest before its memory is looked at: wirehost
	// pages out what has been idle for a second.
	settle = 2 * time.Second
	// rest is when it has given back what thousands of instances have left behind.
	rest = 10 * time.Second
	// wakeRate is such that each of 10,000 connections has been idle for two seconds.
	wakeRate = idleConnections / 2
)

// ready starts a host twice with a cache folder of its own: empty, then warm.
func (b *bench) ready(c *benchCase, s server) (sample, error) {
	if !strings.HasPrefix(s.name, "wasm") && s.name != commandServer && s.name != sevenServer {
		return nil, skipped{errNothing}
	}
	dir, err := os.MkdirTemp(b.dir, "cache-")
	if err != nil {
		return nil, err
	}
	mine := *b
	mine.cache = filepath.Join(dir, "modules")
	m := sample{}
	for _, metric := range []string{empty, warm} {
		argv, err := s.argv(&mine, c)
		if err != nil {
			return nil, skipped{err}
		}
		p, err := start(b.ctx, anyCPU, argv)
		if err != nil {
			return nil, err
		}
		m[metric] = p.ready.Seconds()
		p.stop()
	}
	return m, nil
}
