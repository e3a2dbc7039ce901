package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// maxGiven is how many bytes variables and files may give to a configuration, in all.
const maxGiven = 16 << 20

// fileWord begins the name of a file, where the name of a variable may stand.
const fileWord = "file:"

// reference is ${VAR}, ${file:PATH}, $${, or a ${ without an end.
var reference = regexp.MustCompile(`\$\$\{|\$\{([^}]*)\}|\$\{`) // never changed

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) // never changed

// given is what variables and files have given to values, and what they are asked by.
type given struct {
	lookup func(name string) (string, bool)  // nil = no variable is set
	read   func(path string) ([]byte, error) // nil = there are no files
	texts  map[string]string                 // of files, by path: each is read once
	bytes  int                               // in all
}

// expand puts what variables and files give into m's texts, which stand at p. Keys of
// the user's own stay: what they say counts where an alias puts it.
func (d *document) expand(m map[string]any, p path, g *given) {
	for key, v := range m {
		at := p.with(key)
		switch v := v.(type) {
		case map[string]any:
			if !strings.HasPrefix(key, ownPrefix) || kindAt(at) == reflect.Interface {
				d.expand(v, at, g)
			}
		case string:
			if strings.Contains(v, "${") && (!strings.HasPrefix(key, ownPrefix) || kindAt(at) == reflect.Interface) {
				m[key] = d.expandText(v, at, g)
			}
		}
	}
}

// expandText is the value that a text with references says. What a reference gives is
// text, never YAML; but where a number, or true or false, is wanted, it is that.
func (d *document) expandText(text string, p path, g *given) any {
	var named string
	hidden := false
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$${" {
			return "${"
		}
		named = ref
		hidden = hidden || strings.HasPrefix(ref, "${"+fileWord)
		value, fault := g.value(ref, d.dir)
		if g.bytes += len(value); fault == nil && g.bytes > maxGiven {
			fault = &Fault{Found: fmt.Sprintf("more than %d bytes of variables and files", maxGiven), Wanted: "fewer"}
		}
		if fault != nil {
			d.fault(d.line(p), p, fault.Found, fault.Wanted)
			return ""
		}
		return value
	})
	if named == "" {
		return out
	}
	if hidden {
		d.hidden[p.key()] = "what " + plain(text) + " gives"
	}
	return asWanted(out, typeAt(p))
}

// value is what one reference gives, or a fault without a place.
func (g *given) value(ref, dir string) (string, *Fault) {
	name := strings.TrimSuffix(strings.TrimPrefix(ref, "${"), "}")
	file, isFile := strings.CutPrefix(name, fileWord)
	switch {
	case !isFile && !variableName.MatchString(name), isFile && file == "", ref == "${":
		return "", &Fault{Found: quote(ref), Wanted: "${VARIABLE}, ${file:PATH}, or $${ for a plain ${"}
	case isFile:
		return g.text(file, dir)
	}
	if g.lookup != nil {
		if text, ok := g.lookup(name); ok {
			if !utf8.ValidString(text) {
				return "", &Fault{Found: ref + ", which is not UTF-8", Wanted: "text"}
			}
			return text, nil
		}
	}
	return "", &Fault{Found: ref + ", which is not set", Wanted: "a variable of the environment, or $${ for a plain ${"}
}

// text is what a file holds, without the line break at its end.
func (g *given) text(file, dir string) (string, *Fault) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	if text, known := g.texts[file]; known {
		return text, nil
	}
	if g.read == nil {
		return "", &Fault{Found: "${file:" + plain(file) + "}", Wanted: "no file"}
	}
	b, err := g.read(file)
	switch {
	case err != nil:
		return "", &Fault{Found: "${file:…}, which can't be read: " + plain(err.Error()), Wanted: "a file's text"}
	case !utf8.Valid(b):
		return "", &Fault{Found: "${file:" + plain(file) + "}, which is not UTF-8", Wanted: "a file's text"}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	g.texts[file] = text
	return text, nil
}

// asWanted is text as a value of a setting of type t: durations and sizes are read from
// text anyhow.
func asWanted(text string, t reflect.Type) any {
	switch t {
	case nil, reflect.TypeFor[time.Duration](), reflect.TypeFor[Size]():
		return text
	}
	switch t.Kind() {
	case reflect.Int:
		if n, ok := integer(text, 10).(int64); ok {
			return n
		}
	case reflect.Bool:
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return text
}
