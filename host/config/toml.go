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

// parseTOML reads a file: the values by toml.Unmarshal, which knows what may be
// defined twice, and the lines by its parser.
func parseTOML(origin string, text []byte) *document {
	d := newDocument(origin)
	root := map[string]any{}
	if err := toml.Unmarshal(text, &root); err != nil {
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
	d.tomlLines(text)
	if v, ok := d.tomlValue(root, nil).(map[string]any); ok {
		d.root = v
	}
	return d
}

// tomlLine is the line of an error that names none: the first with which the text
// up to there has the same error.
func tomlLine(text []byte, err error) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	end := 0
	ends := make([]int, len(lines))
	for n, line := range lines {
		end += len(line)
		ends[n] = end
	}
	return 1 + sort.Search(len(ends)-1, func(n int) bool {
		again := toml.Unmarshal(text[:ends[n]], &map[string]any{})
		return again != nil && again.Error() == err.Error()
	})
}

// tomlValue makes values that JSON can say; times become their text.
func (d *document) tomlValue(v any, p path) any {
	if d.nodes++; d.nodes > maxNodes || len(p) > maxDepth {
		d.fault(d.line(p), p[:min(3, len(p))], "too many values, or too many levels of nesting", "fewer")
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = d.tomlValue(e, p.with(k))
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = d.tomlValue(e, p.with(strconv.Itoa(i)))
		}
		return v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.fault(d.line(p), p, fmt.Sprint(v), "a number that JSON can say")
			return nil
		}
		return v
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case fmt.Stringer: // dates and times without a zone
		return v.String()
	}
	return v
}

// tomlLines notes where the keys stand.
func (d *document) tomlLines(text []byte) {
	w := tomlWalk{document: d, text: text, items: map[string]int{}}
	w.parser.Reset(text)
	for w.parser.NextExpression() {
		e := w.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			w.table = w.keys(nil, e.Key())
		case unstable.ArrayTable:
			at := w.keys(nil, e.Key())
			if n := len(at); n > 0 && w.opened == at[:n-1].key() {
				at = at[:n-1] // keys led into the last item; this is a new one
			}
			key := at.key()
			i := w.items[key]
			w.items[key] = i + 1
			w.table = at.with(strconv.Itoa(i))
			w.lines[w.table.key()] = w.row + 1
		case unstable.KeyValue:
			w.keyValue(w.table, e)
		}
	}
}

// tomlWalk is what tomlLines knows on its way.
type tomlWalk struct {
	*document
	parser unstable.Parser
	text   []byte
	table  path           // that the next keys belong to
	items  map[string]int // how many items an array of tables has, by path.key()
	opened string         // the array of tables, if any, that keys ended in
	done   int            // bytes of text whose lines are counted
	row    int            // lines ended in them
}

// keys follows a dotted key from p on, into the last item of each array of
// tables, and notes the lines.
func (w *tomlWalk) keys(p path, it unstable.Iterator) path {
	w.opened = "\x00"
	for it.Next() {
		n := it.Node()
		if len(p) > maxDepth { // tomlValue reports it
			return p
		}
		p = p.with(string(n.Data))
		if end := int(n.Raw.Offset); end > w.done {
			w.row += bytes.Count(w.text[w.done:end], []byte("\n"))
			w.done = end
		}
		key := p.key()
		w.opened = "\x00"
		if _, known := w.lines[key]; !known {
			w.lines[key] = w.row + 1
		}
		if count := w.items[key]; count > 0 {
			p, w.opened = p.with(strconv.Itoa(count-1)), key
		}
	}
	return p
}

func (w *tomlWalk) keyValue(p path, e *unstable.Node) {
	if len(p) > maxDepth {
		return
	}
	w.value(w.keys(p, e.Key()), e.Value())
}

func (w *tomlWalk) value(p path, n *unstable.Node) {
	if len(p) > maxDepth {
		return
	}
	it := n.Children()
	switch n.Kind {
	case unstable.InlineTable:
		for it.Next() {
			w.keyValue(p, it.Node())
		}
	case unstable.Array:
		for i := 0; it.Next(); i++ {
			if it.Node().Kind != unstable.Comment {
				w.value(p.with(strconv.Itoa(i)), it.Node())
			}
		}
	}
}
