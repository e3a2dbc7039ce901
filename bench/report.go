package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what a measurement found.
type report struct {
	Date    string    `json:"date"`
	Machine string    `json:"machine"`
	Go      string    `json:"go"`
	Rounds  int       `json:"rounds"`
	Took    float64   `json:"took_s"`
	Others  float64   `json:"others"` // other programs' share of the processors in the runs
	Results []result  `json:"results"`
	Skipped []skip    `json:"skipped"`
	Verdict []verdict `json:"measures"`
}

// result is a cell: medians, and the median of the rounds' ratios.
type result struct {
	key
	Title   string   `json:"title"`
	Medians sample   `json:"medians"`
	ToNet   float64  `json:"ratio_to_net"`   // of the case's first metric; 0 = not known
	ToEpoll float64  `json:"ratio_to_epoll"` // the same
	Samples []sample `json:"samples"`
	metrics []string
}

type skip struct {
	key
	Why string `json:"why"`
}

func (b *bench) report(began time.Time) report {
	r := report{Date: began.Format(time.DateOnly), Machine: machine(), Go: runtime.Version(), Rounds: b.rounds,
		Took: time.Since(began).Seconds()}
	if b.ran > 0 {
		r.Others = b.disturbed.Seconds() / b.ran.Seconds() / float64(runtime.NumCPU())
	}
	for _, c := range cases() {
		for _, s := range servers() {
			k := key{c.name, s.name}
			if why := b.skips[k]; why.error != nil && !expected(why) {
				r.Skipped = append(r.Skipped, skip{k, why.Error()})
			}
			samples := b.samples[k]
			if len(samples) == 0 {
				continue
			}
			res := result{key: k, Title: c.title, Samples: samples, Medians: sample{}, metrics: c.metrics}
			for _, m := range c.metrics {
				res.Medians[m] = median(samples, m)
			}
			res.ToNet = ratio(samples, b.samples[key{c.name, baseline}], c.metrics[0])
			res.ToEpoll = ratio(samples, b.samples[key{c.name, floor}], c.metrics[0])
			r.Results = append(r.Results, res)
		}
	}
	r.Verdict = verdicts(r.Results)
	return r
}

func median(samples []sample, metric string) float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, s[metric])
	}
	return middle(v)
}

func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	n := len(v) / 2
	if len(v)%2 == 1 {
		return v[n]
	}
	return (v[n-1] + v[n]) / 2
}

// ratio is the median of the rounds' ratios: each to what the other server had
// in the same round.
func ratio(of, to []sample, metric string) float64 {
	var v []float64
	for n := range min(len(of), len(to)) {
		if to[n][metric] > 0 {
			v = append(v, of[n][metric]/to[n][metric])
		}
	}
	return middle(v)
}

// difference is the median of the rounds' differences.
func difference(of, to []sample, metric string) float64 {
	var v []float64
	for n := range min(len(of), len(to)) {
		v = append(v, of[n][metric]-to[n][metric])
	}
	return middle(v)
}

// machine names the processor and the system.
func machine() string {
	model, release := "unknown processor", ""
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, v, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		release = strings.TrimSpace(string(b))
	}
	return fmt.Sprintf("%s, %d processors, Linux %s, %s", model, runtime.NumCPU(), release, runtime.GOARCH)
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// table prints what earlier measurements wrote with -o json as one. Where two
// have a case of a server, the last counts.
func table(files []string, w io.Writer) error {
	found := map[key]result{}
	var all report
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, res := range r.Results {
			found[res.key] = res
		}
		r.Results, r.Verdict = nil, nil
		r.Took += all.Took
		r.Skipped = append(all.Skipped, r.Skipped...)
		r.Rounds = max(r.Rounds, all.Rounds)
		r.Others = max(r.Others, all.Others)
		all = r
	}
	for _, c := range cases() {
		for _, s := range servers() {
			if res, ok := found[key{c.name, s.name}]; ok {
				res.metrics = c.metrics
				all.Results = append(all.Results, res)
			}
		}
	}
	all.Verdict = verdicts(all.Results)
	return all.writeTable(w)
}

// writeTable prints Markdown.
func (r report) writeTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; %s; median of %d rounds; %.0f s", r.Date, r.Machine, r.Go, r.Rounds, r.Took)
	if r.Others > 0 {
		fmt.Fprintf(&b, "; other programs took %.0f %% of the processors", 100*r.Others)
	}
	fmt.Fprintln(&b)
	if n, of := r.disturbed(); n > 0 {
		fmt.Fprintf(&b, "\n%d of %d runs were disturbed by other programs: their CPU ratios are nearer to 1 than "+
			"they should be.\n", n, of)
	}
	last := ""
	for _, res := range r.Results {
		if res.Case != last {
			last = res.Case
			r.head(&b, res)
		}
		r.row(&b, res)
	}
	if len(r.Verdict) > 0 {
		fmt.Fprint(&b, "\n| measure | wanted | found | |\n|---|--:|--:|---|\n")
		for _, v := range r.Verdict {
			fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", v.Name, map[bool]string{true: "≥", false: "≤"}[v.Least],
				number(v.Wanted), number(v.Found), map[bool]string{true: "met", false: "NOT met"}[v.Met])
		}
	}
	if len(r.Skipped) > 0 {
		fmt.Fprint(&b, "\nLeft out:\n")
		for _, s := range r.Skipped {
			fmt.Fprintf(&b, "- %s, %s: %s\n", s.Case, s.Server, s.Why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// disturbed counts the runs in which other programs took too much.
func (r report) disturbed() (n, of int) {
	for _, res := range r.Results {
		for _, s := range res.Samples {
			if share, watched := s[others]; watched {
				of++
				if share > 2*quiet {
					n++
				}
			}
		}
	}
	return n, of
}

// heads are the columns' names.
var heads = map[string]string{
	cpuUs: "CPU µs", rps: "per second", p50: "p50 ms", p99: "p99 ms",
	perConn: "bytes per connection", resid: "resident, MB", warm: "warm cache, s", empty: "empty cache, s",
}

func (r report) head(b *strings.Builder, res result) {
	fmt.Fprintf(b, "\n**%s** (`%s`)\n\n| server |", res.Title, res.Case)
	rule := "|---|"
	for n, m := range res.metrics {
		fmt.Fprintf(b, " %s |", heads[m])
		rule += "--:|"
		if n == 0 && res.Case != "ready" {
			fmt.Fprint(b, " to net | to epoll |")
			rule += "--:|--:|"
		}
	}
	fmt.Fprintf(b, "\n%s\n", rule)
}

func (r report) row(b *strings.Builder, res result) {
	fmt.Fprintf(b, "| %s |", res.Server)
	for n, m := range res.metrics {
		fmt.Fprintf(b, " %s |", number(res.Medians[m]))
		if n == 0 && res.Case != "ready" {
			fmt.Fprintf(b, " %s | %s |", number(res.ToNet), number(res.ToEpoll))
		}
	}
	b.WriteByte('\n')
}

// number has three digits that count; 0 is not known.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
