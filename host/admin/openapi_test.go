package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
)

// document is as much of OpenAPI as the tests need.
type document struct {
	Paths      map[string]map[string]operation
	Components struct {
		Responses map[string]response
		Schemas   map[string]map[string]any
	}
}

type operation struct {
	RequestBody struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Responses map[string]response
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema map[string]any }
}

func description(t testing.TB) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(openapi, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every route is described, and every description has a route.
func TestRoutesAreDescribed(t *testing.T) {
	d := description(t)
	var have, described []string
	for _, r := range New(Options{Host: newFake()}).routes {
		have = append(have, r.method+" "+r.path)
	}
	for path, ops := range d.Paths {
		for method := range ops {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(have)
	slices.Sort(described)
	if !slices.Equal(have, described) {
		t.Errorf("found the routes\n%q\nwanted what openapi.json has\n%q", have, described)
	}
}

// Every type that is written or read has the properties that are described, and
// those that may be missing are not required.
func TestTypesAreDescribed(t *testing.T) {
	schemas := description(t).Components.Schemas
	for name, v := range map[string]any{
		"ProfileTree": profileTree{}, "Frame": frame{},
		"EventList": eventList{}, "Event": Event{},
		"Problem": Problem{}, "Status": status{}, "PluginList": pluginList{}, "PluginInfo": host.PluginInfo{},
		"CallbackStats": host.CallbackStats{}, "VersionInfo": host.VersionInfo{},
		"ConnectionList": host.ConnPage{}, "CloseRequest": CloseRequest{}, "CloseAnswer": closeAnswer{},
		"ServerStatus": Status{}, "Setting": setting{}, "SettingList": settingList{}, "ConnInfo": host.ConnInfo{},
		"ListenerList": listenerList{},
		"ListenerInfo": host.ListenerInfo{}, "DatagramInfo": host.DatagramInfo{},
		"CertificateInfo": host.CertificateInfo{},
		"Outcome":         host.Outcome{}, "Change": host.Change{}, "UseRequest": useRequest{},
		"TraceRequest":  traceRequest{},
		"ReloadRequest": reloadRequest{}, "UpgradeRequest": upgradeRequest{}, "Upgraded": host.Upgraded{},
		"Departure":   host.Departure{},
		"LoadRequest": config.Plugin{}, "Listener": config.Listener{}, "TLS": config.TLS{},
		"Certificate": config.Certificate{}, "Limits": config.Limits{},
		"Allow":  config.Allow{},
		"Canary": config.Canary{}, "PerPeer": config.PerPeer{}, "Rate": config.Rate{}, "Route": config.Route{},
		"Config": config.Config{},
	} {
		schema := schemas[name]
		delete(schemas, name)
		properties, _ := schema["properties"].(map[string]any)
		described := slices.Sorted(maps.Keys(properties))
		var have, required []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			tag := f.Tag.Get("json") + f.Tag.Get("koanf")
			key, opts, _ := strings.Cut(tag, ",")
			if key == "-" {
				continue
			}
			have = append(have, key)
			if opts == "" && f.Tag.Get("koanf") == "" {
				required = append(required, key)
			}
		}
		if name == "LoadRequest" {
			have = append(have, "listener")
		}
		slices.Sort(have)
		if !slices.Equal(have, described) {
			t.Errorf("%s: found the fields\n%q\nwanted the properties of openapi.json\n%q", name, have, described)
		}
		if wanted := texts(schema["required"]); required != nil && !strings.HasSuffix(name, "Request") {
			slices.Sort(required)
			slices.Sort(wanted)
			if !slices.Equal(required, wanted) {
				t.Errorf("%s: found always there\n%q\nwanted what openapi.json requires\n%q", name, required, wanted)
			}
		}
	}
	for name := range schemas {
		t.Errorf("openapi.json has %s, and no type", name)
	}
}

func texts(v any) []string {
	var list []string
	values, _ := v.([]any)
	for _, e := range values {
		list = append(list, fmt.Sprint(e))
	}
	return list
}

// holds holds one exchange against the description: the status, the media type,
// and the body.
func (d document) holds(t testing.TB, what string, r reply) {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	path, _, _ = strings.Cut(path, "?")
	op, ok := d.operation(method, path)
	if !ok || method == "HEAD" || r.code == 403 || r.code == 401 {
		return // 404, 405, and the guard are of no route
	}
	resp, ok := op.Responses[fmt.Sprint(r.code)]
	if !ok {
		t.Errorf("%s: found status %d, which openapi.json does not have: %s", what, r.code, r.body)
		return
	}
	if resp.Ref != "" {
		resp = d.Components.Responses[strings.TrimPrefix(resp.Ref, "#/components/responses/")]
	}
	mediaType, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	content, ok := resp.Content[mediaType]
	if !ok {
		t.Errorf("%s: found media type %q with status %d, which openapi.json does not have", what, mediaType, r.code)
		return
	}
	if !strings.HasSuffix(mediaType, "json") {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Errorf("%s: %v in %s", what, err, r.body)
		return
	}
	if fault := d.fault(content.Schema, v, "body"); fault != "" {
		t.Errorf("%s: %s in %s", what, fault, r.body)
	}
}

func (d document) operation(method, path string) (operation, bool) {
	for pattern, ops := range d.Paths {
		names, parts := strings.Split(pattern, "/"), strings.Split(path, "/")
		if slices.EqualFunc(names, parts, func(n, p string) bool { return n == p || n == "{name}" }) {
			if op, ok := ops[strings.ToLower(method)]; ok {
				return op, true
			}
		}
	}
	return operation{}, false
}

// fault says how v is not as a schema wants it: as much of JSON Schema as
// openapi.json uses.
func (d document) fault(schema map[string]any, v any, at string) string {
	if ref, ok := schema["$ref"].(string); ok {
		schema = d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
	}
	switch schema["type"] {
	case "object":
		return d.objectFault(schema, v, at)
	case "array":
		list, ok := v.([]any)
		if !ok {
			return at + ": found no array"
		}
		items, _ := schema["items"].(map[string]any)
		for n, e := range list {
			if f := d.fault(items, e, fmt.Sprintf("%s.%d", at, n)); f != "" {
				return f
			}
		}
	case "string":
		if _, ok := v.(string); !ok {
			return at + ": found no text"
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return at + ": found no boolean"
		}
	case "integer", "number":
		n, ok := v.(float64)
		least, bounded := schema["minimum"].(float64)
		if !ok || schema["type"] == "integer" && n != float64(int64(n)) || bounded && n < least {
			return fmt.Sprintf("%s: found %v, wanted %s", at, v, schema["type"])
		}
	}
	return ""
}

func (d document) objectFault(schema map[string]any, v any, at string) string {
	m, ok := v.(map[string]any)
	if !ok {
		return at + ": found no object"
	}
	for _, key := range texts(schema["required"]) {
		if _, there := m[key]; !there {
			return at + ": found no " + key
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	more, _ := schema["additionalProperties"].(map[string]any)
	for key, e := range m {
		p, known := properties[key].(map[string]any)
		if !known {
			if p = more; schema["additionalProperties"] == false {
				return at + "." + key + ": found what is not described"
			}
		}
		if f := d.fault(p, e, at+"."+key); f != "" {
			return f
		}
	}
	return ""
}

// README.md has a heading for each problem, and no other; openapi.json names each.
func TestProblemsAreDescribed(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var described, have []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			described = append(described, name)
		}
	}
	api, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds() {
		have = append(have, k.name)
		if !regexp.MustCompile(`"Ends with one of [^"]*#` + k.name + `[,.]`).Match(api) {
			t.Errorf("openapi.json does not name %s", k.name)
		}
		if !strings.Contains(string(text), fmt.Sprintf("### %s\n%d. ", k.name, k.status)) {
			t.Errorf("README.md has not status %d for %s", k.status, k.name)
		}
	}
	slices.Sort(described)
	slices.Sort(have)
	if !slices.Equal(described, have) {
		t.Errorf("found the problems\n%q\nwanted those of README.md\n%q", have, described)
	}
}
