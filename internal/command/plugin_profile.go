package command

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/ianlancetaylor/demangle"
	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/internal/lines"
)

// topFunctions is how many functions are printed of a profile.
const topFunctions = 10

func newPluginProfile(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile NAME",
		Short: "Sample where a plugin spends its time, by function",
		Long: "Sample for a while where a plugin's guests spend their time, on all loops and in all\n" +
			"versions, and write what 'go tool pprof' reads. What takes most is printed as well:\n" +
			"FLAT is a function's own time, CUM that of what it calls too. A plugin has one\n" +
			"profile at a time.",
		Example: "  wirehost plugin profile gopher --for 30s -o gopher.pprof\n" +
			"  go tool pprof -http=localhost:6061 gopher.pprof",
		Args: arguments("NAME"),
	}
	endpoint := adminFlag(cmd)
	cmd.ValidArgsFunction = a.completion(endpoint, pluginNames, !many)
	d := cmd.Flags().Duration("for", 10*time.Second, "sample for so long, at most 1h")
	file := cmd.Flags().StringP("output", "o", "cpu.pprof", "write the profile to `FILE`; - for standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, path, err := a.pluginClient(*endpoint, args[0])
		if err != nil {
			return err
		}
		if err := writable(*file); err != nil {
			return err
		}
		stop := a.waiting("profiling " + args[0])
		text, err := c.fetch(cmd.Context(), http.MethodGet, path+"/profile?for="+url.QueryEscape(d.String()), nil)
		if stop(); err != nil {
			return err
		}
		p, err := profile.ParseData(text)
		if err == nil && len(p.SampleType) != 2 {
			err = fmt.Errorf("found %d values in a sample, wanted 2", len(p.SampleType))
		}
		if err != nil {
			return fmt.Errorf("%s is no wirehost: found no profile in answer to GET %s/profile: %w", c.endpoint, path,
				err)
		}
		if *file == "-" {
			_, err = a.stdout.Write(text)
			return err
		}
		if err := os.WriteFile(*file, text, 0o600); err != nil {
			return err
		}
		return printProfile(a.stdout, p, args[0], *file)
	}
	return cmd
}

// writable tells, before a long wait, whether a file can be written when that is over. What
// the file has stays. A pipe is not asked: its reader would take the answer for the end.
func writable(file string) error {
	if info, err := os.Stat(file); file == "-" || err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil
	}
	_, missing := os.Lstat(file)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil || !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return os.Remove(file)
}

// printProfile says what a profile has.
func printProfile(w io.Writer, p *profile.Profile, plugin, file string) error {
	var out bytes.Buffer
	total, count := sums(p)
	if count == 0 {
		fmt.Fprintf(&out, "no samples: the guests of %s did nothing meanwhile, or next to nothing\n", plugin)
	} else {
		fmt.Fprintf(&out, "%s: %s, %s in guests of %s\n", file, plural(int(count), "sample"), timeText(total),
			timeText(p.DurationNanos))
	}
	for _, c := range p.Comments {
		fmt.Fprintf(&out, "%s\n", lines.Visible(c))
	}
	if _, err := w.Write(out.Bytes()); err != nil || count == 0 {
		return err
	}
	t := newTable(w, "FLAT", "FLAT%", "CUM", "CUM%", "FUNCTION")
	list := functionTimes(p)
	for _, f := range list[:min(len(list), topFunctions)] {
		t.row(timeText(f.flat), share(f.flat, total), timeText(f.cum), share(f.cum, total),
			lines.Visible(demangle.Filter(f.name, demangle.NoParams)))
	}
	return t.Flush()
}

// sums are the time in all samples, in ns, and how many there are.
func sums(p *profile.Profile) (total, count int64) {
	for _, s := range p.Sample {
		count += s.Value[0]
		total += s.Value[1]
	}
	return total, count
}

func timeText(ns int64) string { return time.Duration(ns).Round(10 * time.Microsecond).String() }

func share(part, total int64) string {
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(max(total, 1)))
}

// functionTime is what a function took, in ns.
type functionTime struct {
	name      string
	flat, cum int64
}

// nameOf is that of a location's function.
func nameOf(l *profile.Location) string {
	if len(l.Line) == 0 || l.Line[0].Function == nil {
		return "(unknown)"
	}
	return l.Line[0].Function.Name
}

// functionTimes are those of all functions, the one with the most time of its own first.
func functionTimes(p *profile.Profile) []*functionTime {
	byName := map[string]*functionTime{}
	var list []*functionTime
	for _, s := range p.Sample {
		seen := map[string]bool{}
		for n, l := range s.Location {
			name := nameOf(l)
			f := byName[name]
			if f == nil {
				f = &functionTime{name: name}
				byName[name] = f
				list = append(list, f)
			}
			if n == 0 {
				f.flat += s.Value[1]
			}
			if !seen[name] {
				seen[name] = true
				f.cum += s.Value[1]
			}
		}
	}
	slices.SortFunc(list, func(x, y *functionTime) int {
		return cmp.Or(cmp.Compare(y.flat, x.flat), cmp.Compare(y.cum, x.cum), strings.Compare(x.name, y.name))
	})
	return list
}
