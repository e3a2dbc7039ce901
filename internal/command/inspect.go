package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/internal/meter"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// report is what inspect says of a module.
type report struct {
	File      string     `json:"file"`
	Bytes     int        `json:"bytes"`
	SHA256    string     `json:"sha256"`
	ABI       []int      `json:"abi"` // versions that it has a marker of
	Toolchain string     `json:"toolchain,omitempty"`
	SDK       string     `json:"sdk,omitempty"`
	Producers []producer `json:"producers,omitempty"`
	Memory    *memory    `json:"memory,omitempty"`
	Items     []abi.Item `json:"items"`
	Faults    []string   `json:"faults"`
	OK        bool       `json:"ok"`
}

type producer struct {
	Field   string `json:"field"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// memory is in bytes; Max is 0 where the module names none.
type memory struct {
	Min uint64 `json:"min"`
	Max uint64 `json:"max,omitempty"`
}

func newInspect(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect FILE.wasm",
		Short: "Show what a module exports and imports, held against the ABI",
		Args:  arguments("FILE.wasm"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	format := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := a.inspect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *format == "json" {
			err = printJSON(a.stdout, r)
		} else {
			err = r.print(a.stdout)
		}
		if err != nil || r.OK {
			return err
		}
		if *format == "json" {
			return errSaid
		}
		return r.faults()
	}
	return cmd
}

// inspect reads a module. Its error means that the file is none.
func (a *app) inspect(ctx context.Context, file string) (*report, error) {
	b, err := a.readModule(ctx, file)
	if err != nil {
		return nil, err
	}
	m, err := wasmbin.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	sum := sha256.Sum256(b)
	d := m.Describe()
	r := &report{
		File: file, Bytes: len(b), SHA256: hex.EncodeToString(sum[:]), ABI: []int{},
		Toolchain: m.Toolchain(), SDK: m.SDK(), Items: abi.Check(d), Faults: []string{},
	}
	for _, p := range m.Producers() {
		r.Producers = append(r.Producers, producer(p))
	}
	for _, e := range d.Exports {
		if s, ok := strings.CutPrefix(e.Name, abi.VersionPrefix); ok {
			if n, err := strconv.Atoi(s); err == nil {
				r.ABI = append(r.ABI, n)
			}
		}
	}
	if d.Memory != nil {
		r.Memory = &memory{Min: uint64(d.Memory.Min) << 16}
		if d.Memory.HasMax {
			r.Memory.Max = uint64(d.Memory.Max) << 16
		}
	}
	for _, f := range abi.Validate(d) {
		r.Faults = append(r.Faults, f.String())
	}
	// The code must be of the kind that can be metered. How large tables may be
	// is the configuration's business.
	if _, _, err := meter.Rewrite(b, meter.Options{}); err != nil && !errors.Is(err, meter.ErrTables) {
		r.Faults = append(r.Faults, err.Error())
	}
	r.OK = len(r.Faults) == 0
	return r, nil
}

// maxModule is how many bytes limits.module can allow at most.
const maxModule = 1 << 30

func (a *app) readModule(ctx context.Context, file string) ([]byte, error) {
	b, err := a.files.Read(ctx, file, maxModule)
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%s: found more than %d bytes, which no module may have", file, maxModule)
	}
	return b, err
}

// faults are the report's faults as one error.
func (r *report) faults() error {
	var list []error
	for _, f := range r.Faults {
		list = append(list, fmt.Errorf("%s: %s", r.File, lines.Visible(f)))
	}
	return errors.Join(list...)
}

// print writes the report as a table. All names are the module's own words.
func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = lines.Visible(cells[i])
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t")) // Flush has its error
	}
	row("module", fmt.Sprintf("%s, %s", r.File, plural(r.Bytes, "byte")))
	row("sha256", r.SHA256)
	row("toolchain", orElse(r.Toolchain, "unknown"))
	row("sdk", orElse(r.SDK, "unknown"))
	row("abi", orElse(strings.Trim(fmt.Sprint(r.ABI), "[]"), "no marker"))
	row("memory", r.Memory.String())
	row("verdict", map[bool]string{true: "can be hosted",
		false: "can't be hosted: " + plural(len(r.Faults), "fault")}[r.OK])
	for _, what := range []string{"export", "import"} {
		fmt.Fprintf(t, "\n%sS\n", strings.ToUpper(what))
		for _, it := range r.Items {
			if it.What == what {
				row("  "+it.Verdict, it.Name, it.Signature, it.Note)
			}
		}
	}
	return t.Flush()
}

func (m *memory) String() string {
	switch {
	case m == nil:
		return "none"
	case m.Max == 0:
		return fmt.Sprintf("%d KiB, no maximum", m.Min>>10)
	}
	return fmt.Sprintf("%d KiB to %d KiB", m.Min>>10, m.Max>>10)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
