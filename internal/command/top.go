package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/lines"
)

func newTop(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch plugins and connections of a running host",
		Long: "Watch plugins and connections of a running host, in a table that is drawn again and again.\n" +
			"q ends it, s sorts the connections by the next thing. Where the output is no terminal, or\n" +
			"one that can't be drawn on (TERM=dumb), each table follows the one before.",
		Args: arguments(),
	}
	endpoint := adminFlag(cmd)
	every := cmd.Flags().Duration("interval", 2*time.Second, "ask the host this often")
	count := cmd.Flags().Int("count", 0, "end after so many tables; 0 = never")
	sort := cmd.Flags().String("sort", "out", "the connections with the greatest of `WHAT`: "+
		strings.Join(host.ConnSorts(), ", "))
	fixed(cmd, "sort", host.ConnSorts()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case *every < 100*time.Millisecond:
			return &usageError{fmt.Errorf("--interval: found %s, wanted at least 100ms", *every)}
		case *count < 0:
			return &usageError{fmt.Errorf("--count: found %d, wanted a number from 0 up", *count)}
		case !slices.Contains(host.ConnSorts(), *sort):
			return &usageError{fmt.Errorf("--sort: found %q, wanted one of %s", *sort,
				strings.Join(host.ConnSorts(), ", "))}
		}
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		t := &top{c: c, sort: *sort, left: *count, every: *every}
		t.screen = newScreen(os.Stdin, a.stdout, a.getenv("TERM"))
		return t.run(cmd.Context())
	}
	return cmd
}

// top is the table that is drawn again and again.
type top struct {
	c      *client
	screen *screen
	sort   string
	every  time.Duration
	left   int // tables; 0 = any number
	last   *sample
}

// run draws until a key, a signal or the count ends it. However it ends, the terminal is
// as it was.
func (t *top) run(ctx context.Context) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if t.last, err = t.take(ctx); err != nil { // while what is wrong can be read
		return err
	}
	keys, err := t.screen.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.screen.close()) }()
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	next, trouble := t.last, ""
	for n := 1; ; n++ {
		width, height := t.screen.size()
		if err := t.screen.draw(frame(t.last, next, t.sort, trouble, width, height)); err != nil {
			return err
		}
		if n == t.left {
			return nil
		}
		if !t.await(ctx, keys, tick.C) {
			return nil
		}
		s, err := t.take(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if trouble = ""; err != nil {
			trouble = err.Error()
			continue
		}
		t.last, next = next, s
	}
}

// await waits for the next table's time; false: for no other.
func (t *top) await(ctx context.Context, keys <-chan byte, tick <-chan time.Time) (more bool) {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return true
	case key, ok := <-keys:
		switch {
		case !ok: // nobody can type any more
			return t.await(ctx, nil, tick)
		case strings.ContainsRune("qQ\x03\x04", rune(key)): // Ctrl-C and Ctrl-D are keys on a raw terminal
			return false
		case key == 's':
			sorts := host.ConnSorts()
			t.sort = sorts[(slices.Index(sorts, t.sort)+1)%len(sorts)]
			return true
		}
		return t.await(ctx, keys, tick)
	}
}

// sample is what a host has told.
type sample struct {
	at      time.Time
	status  admin.Status
	plugins []host.PluginInfo
	conns   []host.ConnInfo
	all     int // connections, also of processes before an upgrade
}

// topRows is how many connections are asked for.
const topRows = 100

// askTime is how long the host may take to tell it all.
const askTime = 5 * time.Second

func (t *top) take(ctx context.Context) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s := &sample{}
	var err error
	if s.status, err = t.c.status(ctx); err != nil {
		return nil, err
	}
	var list struct{ Plugins []host.PluginInfo }
	if err := t.c.ask(ctx, http.MethodGet, "/v1/plugins", nil, &list); err != nil {
		return nil, err
	}
	page, err := t.c.connections(ctx, nil, t.sort, topRows)
	s.at, s.plugins, s.conns, s.all = time.Now(), list.Plugins, page.Connections, page.Matched
	return s, err
}

// frame is a table: of what was told now, against what was told before. Its lines fit
// into width columns and height rows.
func frame(before, now *sample, sort, trouble string, width, height int) []string {
	d := now.at.Sub(before.at).Seconds()
	rate := func(was, is uint64) float64 {
		if d <= 0 || is < was { // another process
			return 0
		}
		return float64(is-was) / d
	}
	was, is := before.status, now.status
	list := []string{
		fmt.Sprintf("wirehost %s, process %d, up %s, %s", is.Version, is.PID, seconds(is.Uptime), stateOf(is)),
		fmt.Sprintf("%s, %.0f new a second; %s/s in, %s/s out, %s queued", now.connections(),
			rate(was.Opened, is.Opened), bytesText(uint64(rate(was.In, is.In))),
			bytesText(uint64(rate(was.Out, is.Out))),
			bytesText(is.Queued)),
	}
	if trouble != "" {
		list = append(list, "no answer: "+trouble)
	}
	room := max(4, height-len(list)-4)
	list = append(append(list, ""), limited(topPlugins(before, now, rate), room/2)...)
	list = append(list, "", "Connections by "+sort+"; s sorts by another, q ends:")
	list = append(list, limited(topConns(before, now, rate), max(2, height-len(list)))...)
	for n, line := range list[:min(len(list), max(height, 1))] {
		list[n] = fit(lines.Visible(line), width)
	}
	return list[:min(len(list), max(height, 1))]
}

// connections says how many there are; the list has those of processes before an upgrade too.
func (s *sample) connections() string {
	text := plural(max(s.all, s.status.Connections), "connection")
	if slices.ContainsFunc(s.conns, func(c host.ConnInfo) bool { return c.Process != "" }) {
		text += fmt.Sprintf(" (%d of this process)", s.status.Connections)
	}
	return text
}

func topPlugins(before, now *sample, rate func(was, is uint64) float64) []string {
	calls := func(p host.PluginInfo) (n uint64) {
		for _, k := range p.Callbacks.Counts {
			n += k
		}
		return n
	}
	was := map[string]uint64{}
	for _, p := range before.plugins {
		was[p.Name+p.State] = calls(p)
	}
	var b strings.Builder
	t := newTable(&b, "PLUGIN", "STATE", "VERSION", "CONNS", "INSTANCES", "MEMORY", "CALLS/S", "SLOW", "TRAPS")
	for _, p := range now.plugins {
		var traps uint64
		for _, n := range p.Traps {
			traps += n
		}
		t.row(p.Name, p.State, orElse(p.Active, "-"), fmt.Sprint(p.Connections), fmt.Sprint(p.Instances),
			bytesText(p.Memory), fmt.Sprintf("%.0f", rate(was[p.Name+p.State], calls(p))), fmt.Sprint(p.Callbacks.Slow),
			fmt.Sprint(traps))
	}
	_ = t.Flush() // into memory
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func topConns(before, now *sample, rate func(was, is uint64) float64) []string {
	was := map[string]host.ConnInfo{}
	for _, c := range before.conns {
		was[c.ID] = c
	}
	var b strings.Builder
	t := newTable(&b, "ID", "PEER", "VERSION", "AGE", "IDLE", "IN", "OUT", "IN/S", "OUT/S", "QUEUED", "STATE")
	for _, c := range now.conns {
		in, out := "-", "-"
		if w, ok := was[c.ID]; ok {
			in, out = bytesText(uint64(rate(w.In, c.In))), bytesText(uint64(rate(w.Out, c.Out)))
		}
		t.row(c.ID, orElse(c.Peer, "-"), c.Version, seconds(c.Age), seconds(c.Idle), bytesText(c.In), bytesText(c.Out),
			in, out, bytesText(uint64(c.Queued)), c.State)
	}
	_ = t.Flush() // into memory
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// limited is a list of at most n lines; the last says how many are missing.
func limited(list []string, n int) []string {
	if n = max(n, 1); len(list) <= n {
		return list
	}
	return append(list[:n-1:n-1], fmt.Sprintf("… %d more", len(list)-n+1))
}

// fit cuts a line to width columns.
func fit(line string, width int) string {
	if r := []rune(line); width > 0 && len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return line
}
