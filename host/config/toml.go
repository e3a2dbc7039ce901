package config

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML reads a file. toml.Unmarshal knows what may be defined twice, and its
// parser has the lines.
func parseTOML(origin string, text []byte) *document {
	d := newDocument(origin)
	if err := toml.Unmarshal(text, &map[string]any{}); err != nil {
		line := 0
		var de *toml.DecodeError
		if errors.As(err, &de) {
			line, _ = de.Position()
		} else { // of keys that are defined twice
			line = tomlLine(text, err)
		}
		d.fault(line, nil, "what is not TOML: "+plain(strings.TrimPrefix(err.Error(), "toml: ")), "")
		return d
	}
	r := tomlReader{document: d, count: lineCount{text: text}}
	r.parser.Reset(text)
	table, at := d.root, path(nil) // that the next keys belong to
	for !r.tooMuch && r.parser.NextExpression() {
		e := r.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, at = r.keys(d.root, nil, e)
		case unstable.KeyValue:
			r.keys(table, at, e)
		}
	}
	if r.tooMuch {
		d.root = map[string]any{}
	}
	return d
}

// tomlLine is the line of an error that names none: the first with which the text
// up to there has the same error.
func tomlLine(text []byte, err error) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	return 1 + sort.Search(len(lines)-1, func(n int) bool {
		again := toml.Unmarshal(bytes.Join(lines[:n+1], nil), &map[string]any{})
		return again != nil && again.Error() == err.Error()
	})
}

type tomlReader struct {
	*document
	count   lineCount
	parser  unstable.Parser
	tooMuch bool
}

// keys follows e's dotted key from m on, which stands at p, and into the last item
// of each array of tables. It makes what is not there yet, and returns where it
// has come to; under the last key stands e's value, a table, or one more item.
func (r *tomlReader) keys(m map[string]any, p path, e *unstable.Node) (map[string]any, path) {
	for it := e.Key(); it.Next(); {
		key, last := string(it.Node().Data), it.IsLast()
		line := r.count.at(int(it.Node().Raw.Offset))
		if p = p.with(key); !r.first(line, p) {
			return nil, nil
		}
		if last && e.Kind == unstable.KeyValue {
			m[key] = r.value(e.Value(), p)
			return m, p
		}
		next, _ := m[key].(map[string]any)
		if next == nil && last && e.Kind == unstable.ArrayTable {
			next = listOf()
		} else if next == nil {
			next = map[string]any{}
		}
		m[key], m = next, next
		if isList(m) {
			if last {
				m[strconv.Itoa(len(m)-1)] = map[string]any{}
			}
			key = strconv.Itoa(len(m) - 2)
			p = p.with(key)
			r.first(line, p)
			m, _ = m[key].(map[string]any)
		}
	}
	return m, p
}

// first notes p's line, unless it stands further up too. False: there is too much.
func (r *tomlReader) first(line int, p path) bool {
	if r.nodes++; r.nodes > maxNodes || len(p) > maxDepth {
		if !r.tooMuch {
			r.fault(r.line(p), p[:min(3, len(p))], "too many values, or too many levels of nesting", "fewer")
		}
		r.tooMuch = true
		return false
	}
	if _, known := r.lines[p.key()]; !known {
		r.note(line, p)
	}
	return true
}

// value makes a value that JSON can say; times become their text.
func (r *tomlReader) value(n *unstable.Node, p path) any {
	it := n.Children()
	switch n.Kind {
	case unstable.InlineTable:
		m := map[string]any{}
		for it.Next() && !r.tooMuch {
			r.keys(m, p, it.Node())
		}
		return m
	case unstable.Array:
		list := listOf()
		for i := 0; it.Next() && !r.tooMuch; i++ {
			key := strconv.Itoa(i)
			if at := p.with(key); r.first(r.count.at(0), at) {
				list[key] = r.value(it.Node(), at)
			}
		}
		return list
	case unstable.String:
		return string(n.Data)
	}
	var one struct{ V any } // numbers, flags and times, which Data has as they are written
	if err := toml.Unmarshal(append([]byte("V="), n.Data...), &one); err != nil {
		r.fault(r.line(p), p, plain(err.Error()), "")
	}
	switch v := one.V.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			r.fault(r.line(p), p, fmt.Sprint(v), "a number that JSON can say")
			return nil
		}
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case fmt.Stringer: // dates and times without a zone
		return v.String()
	}
	return one.V
}
