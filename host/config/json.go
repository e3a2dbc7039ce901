package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// jsonReader reads a file token by token: encoding/json's maps would lose the
// lines, the duplicate keys, and the precision of large numbers.
type jsonReader struct {
	*document
	dec  *json.Decoder
	text []byte
	done int // bytes of text whose lines are counted
	row  int // lines ended in them
}

func parseJSON(origin string, text []byte) *document {
	r := &jsonReader{document: newDocument(origin), dec: json.NewDecoder(bytes.NewReader(text)), text: text}
	r.dec.UseNumber()
	if !utf8.Valid(text) { // encoding/json would change it
		r.fault(oddLine(text), nil, "what is not JSON: bytes that are not UTF-8", "")
		return r.document
	}
	v, err := r.value(nil)
	if err == nil {
		_, err = r.dec.Token()
		if err == nil {
			err = errors.New("more after the end")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		r.syntax(err)
		return r.document
	}
	r.setRoot(1, v)
	return r.document
}

// errTooMuch ends the reading of a document that at has reported.
var errTooMuch = errors.New("too much")

func (r *jsonReader) syntax(err error) {
	if errors.Is(err, errTooMuch) {
		return
	}
	line := r.here() // not SyntaxError.Offset: that leaves out what Token has taken
	reason := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "it ends too early"
	}
	r.fault(line, nil, "what is not JSON: "+plain(reason), "")
}

// here is the line that the decoder has come to.
func (r *jsonReader) here() int {
	end := min(int(r.dec.InputOffset()), len(r.text))
	r.row += bytes.Count(r.text[r.done:end], []byte("\n"))
	r.done = end
	return r.row + 1
}

func (r *jsonReader) value(p path) (any, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	line := r.here()
	if !r.at(line, p) {
		return nil, errTooMuch
	}
	switch t := t.(type) {
	case json.Number:
		return r.number(t, line, p), nil
	case json.Delim:
		if t == '[' {
			return r.list(p)
		}
		return r.object(p)
	}
	return t, nil
}

func (r *jsonReader) number(t json.Number, line int, p path) any {
	if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(t.String(), 10, 64); err == nil {
		return n
	}
	f, err := t.Float64()
	if err != nil {
		r.fault(line, p, "the number "+quote(t.String()), "one that fits in 64 bits")
	}
	return f
}

func (r *jsonReader) list(p path) (any, error) {
	list := []any{}
	for r.dec.More() {
		v, err := r.value(p.with(strconv.Itoa(len(list))))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := r.dec.Token()
	return list, err
}

func (r *jsonReader) object(p path) (any, error) {
	m := map[string]any{}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, line := t.(string), r.here() // the decoder takes nothing else as a key
		at := p.with(key)
		before, twice := r.lines[at.key()]
		v, err := r.value(at)
		if err != nil {
			return nil, err
		}
		r.lines[at.key()] = line
		if twice {
			r.twice(line, at, before)
			continue
		}
		m[key] = v
	}
	_, err := r.dec.Token()
	return m, err
}
