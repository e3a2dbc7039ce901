package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads a file. It goes by nodes, not by yaml.Unmarshal: nodes have
// lines, and all duplicate keys can be reported.
func parseYAML(origin string, text []byte) *document {
	d := newDocument(origin)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var n yaml.Node
	switch err := dec.Decode(&n); {
	case errors.Is(err, io.EOF): // nothing, or comments alone
		return d
	case err != nil:
		d.yamlSyntax(err, text)
		return d
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		d.fault(second.Line, nil, "a second YAML document", "one in a file")
	case !errors.Is(err, io.EOF):
		d.yamlSyntax(err, text)
	}
	v := d.yamlValue(&n, nil)
	d.setRoot(n.Line, v)
	return d
}

// parseYAMLValue reads the text of an environment variable or a flag, which
// says what stands at p.
func (d *document) parseYAMLValue(text string, p path) any {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		d.fault(0, p, quote(text)+" ("+yamlReason(err)+")", "a YAML value")
		return nil
	}
	return d.yamlValue(&n, p)
}

// setRoot takes the whole of a file.
func (d *document) setRoot(line int, v any) {
	if d.nodes > maxNodes { // the rest is missing
		return
	}
	if m, ok := v.(map[string]any); ok && !isList(m) {
		d.root = m
	} else if v != nil {
		d.fault(line, nil, show(v), "a mapping with keys such as plugins and listeners")
	}
}

// yamlLine is how yaml.v3 names a line; it has no type for it.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// yamlSyntax reports text that can't be parsed.
func (d *document) yamlSyntax(err error, text []byte) {
	line := oddLine(text) // yaml.v3 gives no line of it
	if m := yamlLine.FindStringSubmatch(err.Error()); m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	if strings.HasPrefix(yamlReason(err), "did not find expected") {
		line++ // yaml.v3 counts from 0 in errors of its parser, from 1 in those of its scanner
	}
	d.fault(line, nil, "what is not YAML: "+yamlReason(err), "")
}

func yamlReason(err error) string {
	s := err.Error()
	return plain(strings.TrimSpace(s[len(yamlLine.FindString(s)):]))
}

// yamlValue makes a value of a node.
func (d *document) yamlValue(n *yaml.Node, p path) any {
	if n.Kind == yaml.DocumentNode {
		if len(n.Content) == 0 {
			return nil
		}
		n = n.Content[0]
	}
	if n.Kind == 0 || !d.at(n.Line, p) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		if !d.enter(n, p) {
			return nil
		}
		v := d.yamlValue(n.Alias, p)
		delete(d.aliases, n.Alias)
		d.note(n.Line, p)
		return v
	case yaml.MappingNode:
		m := map[string]any{}
		d.yamlMapping(n, m, p)
		return m
	case yaml.SequenceNode:
		list := listOf()
		for i, c := range n.Content {
			key := strconv.Itoa(i)
			list[key] = d.yamlValue(c, p.with(key))
		}
		return list
	}
	return d.yamlScalar(n, p)
}

// enter begins to follow an alias. False: it leads into itself, which is
// reported.
func (d *document) enter(n *yaml.Node, p path) bool {
	if d.aliases[n.Alias] {
		d.fault(n.Line, p, "the alias "+quote(n.Value)+" inside what it stands for", "")
		return false
	}
	d.aliases[n.Alias] = true
	return true
}

// yamlMapping fills m. Keys are texts, as in JSON: what a key says, not what
// YAML makes of it. What m has already stays: it is merged into.
func (d *document) yamlMapping(n *yaml.Node, m map[string]any, p path) {
	var merged []*yaml.Node
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && d.nodes <= maxNodes; i += 2 {
		k, v, line := n.Content[i], n.Content[i+1], n.Content[i].Line
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null" {
			d.fault(line, p, "a key that is no text", "text")
			continue
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, v)
			continue
		}
		at := p.with(k.Value)
		if before, twice := seen[k.Value]; twice {
			d.twice(line, at, before)
			continue
		}
		seen[k.Value] = line
		if _, stays := m[k.Value]; stays {
			d.nodes++
			continue
		}
		m[k.Value] = d.yamlValue(v, at)
		d.note(line, at)
	}
	for _, v := range merged {
		d.yamlMerge(v, m, p)
	}
}

// yamlMerge adds to m what `<<: *alias` names: a mapping, or a list of them.
func (d *document) yamlMerge(n *yaml.Node, m map[string]any, p path) {
	if d.nodes++; d.nodes > maxNodes {
		return
	}
	if n.Kind == yaml.AliasNode {
		if !d.enter(n, p) {
			return
		}
		n = n.Alias
		defer delete(d.aliases, n)
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			d.yamlMerge(c, m, p)
		}
	case yaml.MappingNode:
		d.yamlMapping(n, m, p)
	default:
		d.fault(n.Line, p.with("<<"), "what is no mapping", "a mapping, or a list of them")
	}
}

// yamlScalar makes a value that JSON can say. Times stay the text that they
// are.
func (d *document) yamlScalar(n *yaml.Node, p path) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
	case "!!int", "!!float":
		return d.yamlNumber(n, p)
	case "!!str":
		if n.Style == 0 && (yamlInt.MatchString(n.Value) || yamlFloat.MatchString(n.Value)) { // too large for yaml.v3
			return d.yamlNumber(n, p)
		}
		return n.Value
	case "!!timestamp":
		return n.Value
	case jsonNumber:
		return d.jsonNumber(n, p)
	default:
		d.fault(n.Line, p, "the tag "+quote(n.Tag), "text, a number, true or false")
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		d.fault(n.Line, p, quote(n.Value)+" under the tag "+n.ShortTag(), "")
		return nil
	}
	return v
}

// Numbers of YAML 1.2 (section 10.3.2). yaml.v3 has those of YAML 1.1 beside them:
// there 01234 is octal, and 1_000 and 0b11 are numbers.
var ( // never changed
	yamlInt   = regexp.MustCompile(`^(?:([-+]?[0-9]+)|0o([0-7]+)|0x([0-9a-fA-F]+))$`)
	yamlFloat = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
)

// yamlNumber makes the narrowest number that holds what the text says, or text of
// what is no number in YAML 1.2.
func (d *document) yamlNumber(n *yaml.Node, p path) any {
	var v any
	switch m := yamlInt.FindStringSubmatch(n.Value); {
	case m != nil && m[1] != "":
		v = integer(strings.TrimPrefix(m[1], "+"), 10)
	case m != nil && m[2] != "":
		v = integer(m[2], 8)
	case m != nil:
		v = integer(m[3], 16)
	case yamlFloat.MatchString(n.Value):
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			v = f
		}
	case strings.HasPrefix(strings.TrimLeft(n.Value, "-+"), "."):
		d.fault(n.Line, p, plain(n.Value), "a number that JSON can say")
		return nil
	case n.Style&yaml.TaggedStyle == 0:
		return n.Value
	}
	if v == nil {
		d.fault(n.Line, p, "the number "+quote(n.Value), numberWanted)
	}
	return v
}

// numberWanted is what a guest's JSON can say, and a setting can be, without rounding.
const numberWanted = "one that fits in 64 bits"

// integer reads digits, or is nil where they don't fit in 64 bits.
func integer(digits string, base int) any {
	if v, err := strconv.ParseInt(digits, base, 64); err == nil {
		return v
	}
	if v, err := strconv.ParseUint(digits, base, 64); err == nil {
		return v
	}
	return nil
}
