package main

import "strings"

// verdict is one of the project's measures, held against what was found.
type verdict struct {
	Name   string  `json:"name"`
	Wanted float64 `json:"wanted"`
	Least  bool    `json:"least"` // at least, not at most
	Found  float64 `json:"found"`
	Met    bool    `json:"met"`
}

// verdicts holds the measures for which there are results against them.
func verdicts(results []result) []verdict {
	at := map[key]result{}
	for _, r := range results {
		at[r.key] = r
	}
	const guest, goGuest, one, goOne, kib = "wasm/loop", "wasm-go/loop", "wasm/connection", "wasm-go/connection",
		1 << 10
	var list []verdict
	for _, m := range []struct {
		name, of, server string
		to               string // a server in the same rounds; "" = the figure itself; -NAME: how much more
		metric           string
		wanted           float64
		least            bool
	}{
		{"CPU to net, 1 connection", "c1", guest, baseline, cpuUs, 0.95, false},
		{"CPU to net, 50 connections", "c50", guest, baseline, cpuUs, 0.95, false},
		{"CPU to epoll, 50 connections", "c50", guest, floor, cpuUs, 1.25, false},
		{"CPU to net, 50 connections, 16 in flight", "c50p16", guest, baseline, cpuUs, 0.95, false},
		{"CPU to epoll, 50 connections, 16 in flight", "c50p16", guest, floor, cpuUs, 1.25, false},
		{"CPU to net, 50 connections, 16 KiB", "c50x16k", guest, baseline, cpuUs, 0.9, false},
		{"bytes per idle connection", "idle", guest, "", perConn, 1536, false},
		{"behind a plugin: CPU to the echo alone, 64 B", "c50", layered, guest, cpuUs, 1.6, false},
		{"behind a plugin: CPU to the echo alone, 16 KiB", "c50x16k", layered, guest, cpuUs, 1.4, false},
		{"connections a second, each new", "accept", guest, "", rps, 5000, true},
		{"seconds to ready, warm cache", "ready", guest, "", warm, 0.3, false},
		{"seconds to ready, warm cache, Go guest", "ready", goGuest, "", warm, 0.3, false},
		{"seconds to ready, warm cache, wirehost serve", "ready", commandServer, "", warm, 0.3, false},
		{"seconds to ready, warm cache, seven Go plugins", "ready", sevenServer, "", warm, 0.5, false},
		{"seconds to ready, empty cache", "ready", guest, "", empty, 5, false},
		{"seconds to ready, empty cache, Go guest", "ready", goGuest, "", empty, 5, false},
		{"seconds to ready, empty cache, wirehost serve", "ready", commandServer, "", empty, 5, false},
		{"CPU to net, lines, Rust guest", "lines", "wasm-rust/loop", baseline, cpuUs, 1.1, false},
		{"CPU to net, lines, Go guest", "lines", goGuest, baseline, cpuUs, 1.5, false},
		{"TLS CPU to net, 1 KiB", "tls", guest, baseline, cpuUs, 0.85, false},
		{"TLS CPU to net, 16 KiB", "tls16k", guest, baseline, cpuUs, 0.8, false},
		{"TLS idle memory to net", "tlsidle", guest, baseline, perConn, 0.1, false},
		{"TLS handshakes a second of processor to net's, full", "tlsfull", baseline, guest, cpuUs, 0.98, true},
		{"TLS handshakes a second of processor to net's, resumed", "tlsresumed", baseline, guest, cpuUs, 0.98, true},
		{"datagrams: CPU to net, batches wait", "udp", "reactor", baseline, cpuUs, 0.5, false},
		{"datagrams: CPU to net, one in flight", "udp1", "reactor", baseline, cpuUs, 0.9, false},
		{"datagrams: CPU to epoll", "udp", "reactor", floor, cpuUs, 1.15, false},
		{"datagrams, small guest: CPU to net, batches wait", "udp", guest, baseline, cpuUs, 0.5, false},
		{"datagrams, small guest: CPU to net, one in flight", "udp1", guest, baseline, cpuUs, 0.9, false},
		{"datagrams, small guest: CPU to epoll", "udp", guest, floor, cpuUs, 1.15, false},
		{"DNS, Go guest: questions a second of processor to native", "dns", baseline, goGuest, cpuUs, 0.4, true},
		{"DNS, C guest: questions a second of processor to native", "dns", nativeC, "wasm-c/loop", cpuUs, 0.8, true},
		{"handed over: CPU to the echo alone, 64 B", "c50", handed, guest, cpuUs, 1.03, false},
		{"routed: CPU µs more for each connection", "accept", routed, "-" + guest, cpuUs, 10, false},
		{"routed: CPU to the echo alone, 64 B", "c50", routed, guest, cpuUs, 1.03, false},

		{"connection, Go: bytes, busy", "busy", goOne, "", perConn, 140 * kib, false},
		{"connection, Go: bytes, idle", "idle", goOne, "", perConn, 5 * kib, false},
		{"connection, C: bytes, busy", "busy", one, "", perConn, 14 * kib, false},
		{"connection, C: bytes, idle", "idle", one, "", perConn, 1.6 * kib, false},
		{"connection, Go: MB with 15,000 open", "most", goOne, "", resid, 150, false},
		{"connection, Go: p99 of waking to loop's", "wake", goOne, goGuest, p99, 2, false},
		{"connection, C: p99 of waking to loop's", "wake", one, guest, p99, 2, false},
		{"connection, Go: accept, CPU to net", "accept", goOne, baseline, cpuUs, 2.5, false},
		{"connection, C: accept, CPU to net", "accept", one, baseline, cpuUs, 1.2, false},
		{"connection, Go: CPU to net, 50 connections", "c50", goOne, baseline, cpuUs, 0.95, false},
		{"net/http in a guest: requests a second to native", "http", goGuest, baseline, rps, 0.15, true},
		{"x/crypto/ssh in a guest: time to native", "ssh", goGuest, baseline, p50, 3, false},
		{"go-smtp in a guest: time to native", "smtp", goGuest, baseline, p50, 3, false},
		{"CPU with a profile running", "c50", profiled, goGuest, cpuUs, 1.02, false},
	} {
		r := at[key{m.of, m.server}]
		v := r.Medians[m.metric]
		switch more, of := strings.CutPrefix(m.to, "-"); {
		case of:
			v = difference(r.Samples, at[key{m.of, more}].Samples, m.metric)
		case m.to != "":
			v = ratio(r.Samples, at[key{m.of, m.to}].Samples, m.metric)
		}
		if v != 0 {
			list = append(list, verdict{m.name, m.wanted, m.least, v, (v <= m.wanted) != m.least})
		}
	}
	return list
}
