package main

import (
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/wirehost/wirehost/abi"
)

// words are how a language writes what the table has in words.
type words struct {
	function func(name string) string // of the SDK, in a comment
}

var functionIn = regexp.MustCompile(`\{(\w+)\}`)

func (w words) functions() template.FuncMap {
	return template.FuncMap{
		"pascal": pascal, "upper": upper, "snake": snake, "quote": quoted, "types": withTypes, "modules": byModule,
		"pointers": pointers, "float": float, "short": short, "private": private,
		"comment": func(c abi.Code) string {
			return functionIn.ReplaceAllStringFunc(c.Comment,
				func(s string) string { return w.function(strings.Trim(s, "{}")) })
		},
	}
}

// pascal is PascalCase, of words or of a function's name: NoSuchHost, TLSFailure,
// SetTCPNoDelay.
func pascal(name string) string {
	var b strings.Builder
	for word := range strings.FieldsSeq(name) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return strings.ReplaceAll(b.String(), "Tcp", "TCP")
}

// private is camelCase, of words: noSuchHost.
func private(name string) string {
	p := pascal(name)
	return strings.ToLower(p[:1]) + p[1:]
}

// upper is UPPER_CASE, of words.
func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, " ", "_")) }

// snake is snake_case, of words or of a function's name: no_such_host, start_tls_client.
func snake(name string) string {
	parts := wordStart.ReplaceAllString(strings.ReplaceAll(name, " ", "_"), "${1}${3}_${2}${4}")
	return strings.ToLower(parts)
}

// wordStart is where a word begins behind another, or behind a name that is all capitals.
var wordStart = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

func quoted(text string) string { return `"` + text + `"` }

// short is a meaning without what it has in parentheses, in the words of those
// who write protocols: they speak of the server.
func short(c abi.Code) string {
	text, _, _ := strings.Cut(c.Meaning, " (")
	return strings.ReplaceAll(text, "host shutting", "server shutting")
}

// A module is one of those that the host gives, and its functions.
type module struct {
	Name    string
	Imports []abi.Import
}

func byModule(imports []abi.Import) []module {
	var list []module
	for _, i := range imports {
		if len(list) == 0 || list[len(list)-1].Name != i.Module {
			list = append(list, module{Name: i.Module})
		}
		last := &list[len(list)-1]
		last.Imports = append(last.Imports, i)
	}
	return list
}

// A kind is what a parameter is for.
type kind int

const (
	number kind = iota // or a handle
	input              // bytes that are read
	output             // bytes that are written
	pairs              // of pointers and sizes
	size
	floating
)

// kindOf tells by the parameter's name in ABI.md.
func kindOf(param string) kind {
	switch param {
	case "ptr", "endpoint", "name", "group", "plugin":
		return input
	case "buf":
		return output
	case "iov":
		return pairs
	case "len", "plen", "cap", "n":
		return size
	}
	return number
}

// pointers tells whether a function gets any.
func pointers(i abi.Import) bool {
	return slices.ContainsFunc(i.ParamNames,
		func(name string) bool { return kindOf(name) != number && kindOf(name) != size })
}

// float tells whether a function returns an f64; the others return an i32.
func float(i abi.Import) bool { return i.Results[0] == abi.F64 }

// withTypes lists a function's parameters, each by the pattern of its kind, in the
// order of the constants; @ is its name.
func withTypes(i abi.Import, patterns ...string) string {
	var list []string
	for n, name := range i.ParamNames {
		kind := kindOf(name)
		if i.Params[n] == abi.F64 {
			kind = floating
		}
		list = append(list, strings.ReplaceAll(patterns[kind], "@", name))
	}
	return strings.Join(list, ", ")
}
