package main

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
	toNet := func(r result) float64 { return r.ToNet }
	toEpoll := func(r result) float64 { return r.ToEpoll }
	value := func(metric string) func(result) float64 {
		return func(r result) float64 { return r.Medians[metric] }
	}
	const guest = "wasm/loop"
	var list []verdict
	for _, m := range []struct {
		name, of, server string
		get              func(result) float64
		wanted           float64
		least            bool
	}{
		{"CPU to net, 1 connection", "c1", guest, toNet, 0.95, false},
		{"CPU to net, 50 connections", "c50", guest, toNet, 0.95, false},
		{"CPU to epoll, 50 connections", "c50", guest, toEpoll, 1.25, false},
		{"CPU to net, 50 connections, 16 in flight", "c50p16", guest, toNet, 0.95, false},
		{"CPU to epoll, 50 connections, 16 in flight", "c50p16", guest, toEpoll, 1.25, false},
		{"CPU to net, 50 connections, 16 KiB", "c50x16k", guest, toNet, 0.9, false},
		{"bytes per idle connection", "idle", guest, value(perConn), 1536, false},
		{"connections a second, each new", "accept", guest, value(rps), 5000, true},
		{"seconds to ready, warm cache", "ready", guest, value(warm), 0.3, false},
		{"seconds to ready, warm cache, Go guest", "ready", "wasm-go/loop", value(warm), 0.3, false},
		{"seconds to ready, warm cache, wirehost serve", "ready", commandServer, value(warm), 0.3, false},
		{"seconds to ready, empty cache", "ready", guest, value(empty), 5, false},
		{"seconds to ready, empty cache, Go guest", "ready", "wasm-go/loop", value(empty), 5, false},
		{"seconds to ready, empty cache, wirehost serve", "ready", commandServer, value(empty), 5, false},
		{"CPU to net, lines, Rust guest", "lines", "wasm-rust/loop", toNet, 1.1, false},
		{"CPU to net, lines, Go guest", "lines", "wasm-go/loop", toNet, 2, false},
		{"TLS CPU to net", "tls", guest, toNet, 1, false},
		{"TLS idle memory to net", "tlsidle", guest, toNet, 0.5, false},
	} {
		r, ok := at[key{m.of, m.server}]
		if v := m.get(r); ok && v != 0 {
			list = append(list, verdict{m.name, m.wanted, m.least, v, (v <= m.wanted) != m.least})
		}
	}
	return list
}
