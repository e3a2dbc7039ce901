package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// jsonReader makes YAML's nodes of JSON's tokens, so that both are read in one
// way. YAML's own parser takes no \ud83d\ude00 and no key above 1024 characters;
// encoding/json's maps would lose the lines, the duplicate keys, and the precision
// of large numbers.
type jsonReader struct {
	lineCount
	dec *json.Decoder
}

// jsonNumber is the tag of JSON's numbers, whose range is not that of YAML's. No
// tag of YAML's has spaces.
const jsonNumber = "a number of JSON"

// errTooDeep ends the reading of a document that yamlValue will report.
var errTooDeep = errors.New("too deep")

func parseJSON(origin string, text []byte) *document {
	d := newDocument(origin)
	if !utf8.Valid(text) { // encoding/json would change it
		d.fault(oddLine(text), nil, "what is not JSON: bytes that are not UTF-8", "")
		return d
	}
	r := &jsonReader{lineCount{text: text}, json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	n, err := r.node(0)
	if errors.Is(err, errTooDeep) {
		d.yamlValue(n, nil)
		return d
	}
	if err == nil {
		if _, err = r.dec.Token(); err == nil {
			err = errors.New("more after the end")
		} else if errors.Is(err, io.EOF) {
			d.setRoot(1, d.yamlValue(n, nil))
			return d
		}
	}
	reason := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "it ends too early"
	}
	// Not SyntaxError.Offset: that leaves out what Token has taken.
	d.fault(r.here(), nil, "what is not JSON: "+plain(reason), "")
	return d
}

// here is the line that the decoder has come to.
func (r *jsonReader) here() int { return r.at(int(r.dec.InputOffset())) }

// node reads one value, or one key. With errTooDeep the node has what came before.
func (r *jsonReader) node(depth int) (*yaml.Node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.here()}
	switch t := t.(type) {
	case nil:
		n.Tag = "!!null"
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = jsonNumber, t.String()
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		if depth > maxDepth {
			return n, errTooDeep
		}
		for r.dec.More() {
			child, err := r.node(depth + 1)
			if child != nil {
				n.Content = append(n.Content, child)
			}
			if err != nil {
				return n, err
			}
		}
		_, err = r.dec.Token()
	}
	return n, err
}

// jsonNumber makes the narrowest number that holds what the text says.
func (d *document) jsonNumber(n *yaml.Node, p path) any {
	if v := integer(n.Value, 10); v != nil {
		return v
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || !strings.ContainsAny(n.Value, ".eE") {
		d.fault(n.Line, p, "the number "+quote(n.Value), numberWanted)
		return nil
	}
	return f
}
