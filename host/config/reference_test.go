package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// leaves calls see with the pattern and the type of every value of Config that
// holds no others.
func leaves(t reflect.Type, pattern string, see func(pattern string, t reflect.Type)) {
	switch t.Kind() {
	case reflect.Struct:
		for i, key := range keysOf(t) {
			leaves(t.Field(i).Type, join(pattern, key), see)
		}
	case reflect.Map, reflect.Slice:
		leaves(t.Elem(), join(pattern, "*"), see)
	default:
		see(pattern, t)
	}
}

// Every number, duration and size has its range, and every rule its value: a
// misspelt pattern would guard nothing.
func TestRulesCoverConfig(t *testing.T) {
	unused := rules()
	leaves(reflect.TypeFor[Config](), "", func(pattern string, typ reflect.Type) {
		if _, ok := unused[pattern]; !ok && typ.Kind() != reflect.String && typ.Kind() != reflect.Bool &&
			typ.Kind() != reflect.Interface {
			t.Errorf("no rule for %s", pattern)
		}
		delete(unused, pattern)
	})
	for pattern := range unused {
		t.Errorf("rule for %s, which is no setting", pattern)
	}
}

// The reference file names every setting, and says the defaults.
func TestReference(t *testing.T) {
	const file = "testdata/reference.yaml"
	got, err := Load(Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Listeners { // an empty list is no list
		got.Listeners[i].TLS.ALPN, got.Listeners[i].ProxyFrom = nil, nil
		got.Listeners[i].TLS.Certificates, got.Listeners[i].Multicast, got.Listeners[i].Chain = nil, nil, nil
		got.Listeners[i].Route = nil
	}
	got.Trust.Keys = nil
	echo := got.Plugins["echo"]
	echo.Allow.Connect, echo.Allow.Listen, echo.Allow.HandOver = nil, nil, nil
	echo.Allow.TLS.ALPN, echo.Allow.TLS.Certificates = nil, nil
	got.Plugins["echo"] = echo
	if want := Defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("found  %+v\nwanted %+v", got, want)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := parseYAML(file, text).lines
	leaves(reflect.TypeFor[Config](), "", func(pattern string, _ reflect.Type) {
		key := strings.TrimSuffix(pattern, ".*")
		for _, empty := range []string{".certificates", ".route"} {
			if list, _, ok := strings.Cut(key, empty+".*"); ok {
				key = list + empty
			}
		}
		key = strings.Replace(strings.Replace(key, "plugins.*", "plugins.echo", 1), "listeners.*", "listeners.0", 1)
		if _, ok := lines[strings.ReplaceAll(key, ".", delim)]; !ok {
			t.Errorf("found no %s in %s", key, file)
		}
	})
}
