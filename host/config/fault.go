package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuoted is how many bytes of a bad value a message repeats.
const maxQuoted = 80

// Fault is one thing wrong with the configuration.
type Fault struct {
	Origin string // the file, environment variable or flag that said it; "" = nothing did
	Line   int    // in the file; 0 = unknown, or no file
	Key    string // such as listeners.0.endpoint; "" = the whole
	Found  string
	Wanted string
	Hint   string // a key or word that was likely meant, or ""
}

// Error is one line, whatever the configuration contains.
func (f *Fault) Error() string {
	var b strings.Builder
	if f.Origin != "" {
		b.WriteString(plain(f.Origin))
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(plain(f.Key) + ": ")
	}
	b.WriteString("found " + f.Found)
	if f.Wanted != "" {
		b.WriteString(", wanted " + f.Wanted)
	}
	if f.Hint != "" {
		b.WriteString("; did you mean " + quote(f.Hint) + "?")
	}
	return b.String()
}

// Faults is what Load returns: all that is wrong, in the order of the sources
// and of their lines. It has at least one.
type Faults []*Fault

// Error has one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the faults to errors.As.
func (f Faults) Unwrap() []error {
	list := make([]error, len(f))
	for i, one := range f {
		list[i] = one
	}
	return list
}

// quote shows text from outside: quoted, on one line, cut.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "..."
}

// plain is s as it is where it is short and printable, and quoted elsewhere.
func plain(s string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if strings.ContainsFunc(s, odd) {
		return quote(s)
	}
	return s
}

// show describes a value from a source.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return quote(v)
	case bool:
		return strconv.FormatBool(v)
	case map[string]any:
		if isList(v) {
			return "a list"
		}
		return "a mapping"
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

// suggest is the one of words that is nearest to s, or "" where none is near.
func suggest(s string, words []string) string {
	best, distance := "", 1+min(2, max(1, len(s)/3))
	if len(s) > 64 {
		return ""
	}
	for _, w := range words {
		if d := edits(strings.ToLower(s), w, distance-1); d < distance && d < len(w) {
			best, distance = w, d
		}
	}
	return best
}

// edits counts the insertions, deletions, changes and swaps of neighbours that
// make b of a (Damerau-Levenshtein, optimal string alignment). Above most it is
// some number above most.
func edits(a, b string, most int) int {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if a == "" || b == "" || most <= 0 {
		return len(a) + len(b)
	}
	n := min(edits(a[1:], b, most-1), edits(a, b[1:], most-1), edits(a[1:], b[1:], most-1))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		n = min(n, edits(a[2:], b[2:], most-1))
	}
	return n + 1
}
