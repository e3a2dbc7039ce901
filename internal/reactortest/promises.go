package reactortest

import (
	_ "embed"
	"slices"
	"strings"
	"testing"
)

//go:embed PROMISES.md
var page string

// Column is where a suite runs, of the tables in PROMISES.md; the zero Column is in none.
type Column struct {
	Name string // of the table's head
	Kind string // the letter of the cells whose rows run there
}

// CheckColumns fails a test where the tables have other columns with rows of a kind than names.
func CheckColumns(t *testing.T, kind string, names ...string) {
	t.Helper()
	table := promises()
	for _, name := range names {
		if _, ok := table[name]; !ok {
			t.Errorf("PROMISES.md has no column %q", name)
		}
	}
	for name, cells := range table {
		for row, cell := range cells {
			if strings.Contains(cell, kind) && !slices.Contains(names, name) {
				t.Errorf("PROMISES.md: %q runs with %q, in column %q, which nothing runs", row, kind, name)
			}
		}
	}
}

// check compares what has happened to the rows of a suite with the column, and the rows that there
// are with those of its table.
func (c Column) check(t *testing.T, rows []string, ran map[string]bool) {
	t.Helper()
	cells, ok := promises()[c.Name]
	if !ok {
		t.Errorf("PROMISES.md has no column %q", c.Name)
		return
	}
	for row, did := range ran {
		if want := strings.Contains(cells[row], c.Kind); did != want {
			t.Errorf("%q has run: %t; PROMISES.md has %q in column %q", row, did, cells[row], c.Name)
		}
	}
	for row := range cells {
		if !slices.Contains(rows, row) {
			t.Errorf("PROMISES.md has the row %q, and the suite has not", row)
		}
	}
}

// noting runs one row, and notes whether it ran or was skipped.
func noting(t *testing.T, ran map[string]bool, row string, run func()) {
	defer func() { ran[row] = !t.Skipped() }()
	run()
}

// promises are the tables of PROMISES.md: by the column's name its cells, by the row's name.
func promises() map[string]map[string]string {
	columns := map[string]map[string]string{}
	var head []string
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 3 {
			head = nil
			continue
		}
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		switch {
		case head == nil:
			head = cells
			for _, name := range head[2 : len(head)-1] {
				columns[name] = map[string]string{}
			}
		case strings.Trim(cells[1], "-:") == "": // below the head
		default:
			for n := 2; n < len(cells)-1 && n < len(head); n++ {
				columns[head[n]][cells[1]] = cells[n]
			}
		}
	}
	return columns
}
