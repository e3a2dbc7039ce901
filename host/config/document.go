package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// delim joins the parts of a path for koanf. It is not the dot that people
// write: keys of a plugin's own configuration may contain dots.
const delim = "\x1f"

const (
	maxDepth = 64      // of nesting
	maxNodes = 200_000 // values, aliases of YAML counted as often as they are used
)

// path names a value: keys, and indices of lists as digits.
type path []string

func (p path) key() string { return strings.Join(p, delim) }

// String is the form that --set and messages use.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if parts[i] = plain(s); len(s) > maxQuoted {
			parts[i] = quote(s)
		}
	}
	return strings.Join(parts, ".")
}

// with is p and one more part, sharing nothing with p.
func (p path) with(part string) path {
	return append(append(make(path, 0, len(p)+1), p...), part)
}

// listMark is a key that every list has, and no source can say: it is not UTF-8.
// Lists are mappings from indices to items, so that koanf can lay one item over
// another.
const listMark = "\xff"

func listOf(items ...any) map[string]any {
	m := map[string]any{listMark: true}
	for i, v := range items {
		m[strconv.Itoa(i)] = v
	}
	return m
}

func isList(m map[string]any) bool { return m[listMark] != nil }

// document is one source's values, and where they stand. Values are nil, bool,
// int64, uint64 (above int64's range), float64, string and map[string]any, which
// is a list too.
type document struct {
	origin  string
	dir     string            // what relative paths are relative to; "" = the working directory
	flat    bool              // one line: its number says nothing
	root    map[string]any    // never nil
	lines   map[string]int    // by path.key()
	hidden  map[string]string // by path.key(): values with a file's text, which no message shows
	faults  Faults
	nodes   int
	aliases map[*yaml.Node]bool // being followed
}

func newDocument(origin string) *document {
	return &document{origin: origin, root: map[string]any{}, lines: map[string]int{}, hidden: map[string]string{},
		aliases: map[*yaml.Node]bool{}}
}

// fault notes a fault at p.
func (d *document) fault(line int, p path, found, wanted string) {
	if d.flat {
		line = 0
	}
	d.faults = append(d.faults, origin{d.origin, line}.fault(p, found, wanted, ""))
}

// at notes a value's line. False: there is too much of them, or they are
// nested too deeply, which it reports once.
func (d *document) at(line int, p path) bool {
	d.nodes++
	switch {
	case d.nodes > maxNodes+1:
		return false
	case d.nodes > maxNodes:
		d.fault(line, nil, fmt.Sprintf("more than %d values", maxNodes), "fewer (do aliases contain aliases?)")
		return false
	case len(p) > maxDepth:
		d.fault(line, p[:3], fmt.Sprintf("more than %d levels of nesting", maxDepth), "fewer")
		return false
	}
	d.note(line, p)
	return true
}

// note says where p stands.
func (d *document) note(line int, p path) {
	if d.flat {
		line = 0
	}
	d.lines[p.key()] = line
}

// line is where p, or what is around it, stands; 0 = unknown.
func (d *document) line(p path) int {
	for n := len(p); n > 0; n-- {
		if line, ok := d.lines[p[:n].key()]; ok {
			return line
		}
	}
	return 0
}

// lineCount counts the lines of a text, on the way through it.
type lineCount struct {
	text []byte
	done int // bytes of text whose lines are counted
	row  int // lines ended in them
}

// at is the line that the text's byte at offset stands in, or where it has come to
// where that is further down.
func (c *lineCount) at(offset int) int {
	if end := min(offset, len(c.text)); end > c.done {
		c.row += bytes.Count(c.text[c.done:end], []byte("\n"))
		c.done = end
	}
	return c.row + 1
}

// oddLine is the first line with bytes that are not UTF-8, or with control
// characters; 0 = there is none.
func oddLine(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return 1 + bytes.Count(text[:at], []byte("\n"))
		}
		at += size
	}
	return 0
}

// twice reports a key that stands in a mapping for the second time. before is
// the first one's line, or 0.
func (d *document) twice(line int, p path, before int) {
	found := "the key a second time"
	if before > 0 {
		found = fmt.Sprintf("the key a second time (line %d has it too)", before)
	}
	d.fault(line, p, found, "it once")
}
