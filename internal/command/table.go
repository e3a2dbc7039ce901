package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/wirehost/wirehost/internal/lines"
)

// table prints cells that others may have written.
type table struct {
	out     io.Writer
	columns int
	text    strings.Builder
	tabs    *tabwriter.Writer
}

func newTable(w io.Writer, head ...string) *table {
	t := newPlainTable(w, len(head))
	t.row(head...)
	return t
}

// newPlainTable is one without a head.
func newPlainTable(w io.Writer, columns int) *table {
	t := &table{out: w, columns: columns}
	t.tabs = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	return t
}

// row adds a line. Cells may be missing at its end: a column goes on below them.
func (t *table) row(cells ...string) {
	all := make([]string, t.columns)
	for n, c := range cells {
		all[n] = lines.Visible(c)
	}
	fmt.Fprintln(t.tabs, strings.Join(all, "\t")) // it writes into memory
}

// Flush prints the lines, without blanks at their ends.
func (t *table) Flush() error {
	if err := t.tabs.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(t.text.String()) {
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
