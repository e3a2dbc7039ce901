package abi

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one way in which a module breaks the contract.
type Fault struct {
	Subject string // what it is about, such as `export dataReceived`
	Found   string
	Wanted  string
	Cause   string // likely cause and cure, or ""
}

// String has all of a fault in one line, as logs and errors show it.
func (f Fault) String() string {
	s := fmt.Sprintf("%s: found %s, wanted %s", f.Subject, f.Found, f.Wanted)
	if f.Cause != "" {
		s += " (" + f.Cause + ")"
	}
	return s
}

// How an item of the table, or of a module, stands.
const (
	satisfied = "satisfied"
	missing   = "missing"
	wrong     = "wrong"
	optional  = "optional" // not there, and need not be
	extra     = "extra"    // there, and not the contract's
)

// Item is one line of what inspect shows.
type Item struct {
	What      string `json:"what"` // export or import
	Name      string `json:"name"`
	Signature string `json:"signature"`
	Verdict   string `json:"verdict"` // satisfied, missing, wrong, optional (absent) or extra
	Note      string `json:"note,omitempty"`
	fault     *Fault
}

// Validate lists all of a module's faults; none means that it can be hosted.
func Validate(m Module) []Fault {
	var faults []Fault
	for _, it := range Check(m) {
		if it.fault != nil {
			faults = append(faults, *it.fault)
		}
	}
	if f := foreign(m); f != nil && len(faults) > 0 {
		faults = append([]Fault{*f}, faults...)
	}
	return faults
}

// Check holds a module against the table, line by line: first the exports, then
// the imports.
func Check(m Module) []Item {
	var items []Item
	known := map[string]bool{}
	for _, want := range Exports() {
		known[want.Name] = true
		items = append(items, checkExport(m, want))
	}
	for _, e := range m.Exports {
		if !known[e.Name] {
			signature := describe(e.Kind, e.Signature)
			items = append(items, Item{What: "export", Name: e.Name, Signature: signature, Verdict: extra})
		}
	}
	given := map[string]Import{}
	for _, i := range append(Imports(), WASI()...) {
		given[i.Key()] = i
	}
	for _, i := range m.Imports {
		items = append(items, checkImport(i, given))
	}
	return items
}

// describe says what a kind or signature is. No signature of the contract is as
// long as what it cuts off.
func describe(k Kind, s Signature) string {
	const most = 200 // bytes
	if k != KindFunction {
		return k.String()
	}
	text := s.String()
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

func checkExport(m Module, want Export) Item {
	kind := KindFunction
	if want.Name == ExportMemory {
		kind = KindMemory
	}
	it := Item{What: "export", Name: want.Name, Signature: describe(kind, want.Signature), Verdict: satisfied}
	got, ok := m.Export(want.Name)
	needed := want.need == must || want.need == with && imported(m, want.with) != "" || want.need == talk && talks(m)
	switch {
	case ok && (got.Kind != kind || kind == KindFunction && !got.Signature.Equal(want.Signature)):
		it.Verdict = wrong
		it.fault = &Fault{"export " + want.Name, describe(got.Kind, got.Signature), it.Signature, ""}
		it.Note = "found " + it.fault.Found
	case ok:
	case want.Name == ExportInitialize && isCommand(m):
		it.Verdict = missing
		it.fault = &Fault{"export " + want.Name, "_start alone", it.Signature, commandCause}
		it.Note = it.fault.Cause
	case needed:
		it.Verdict = missing
		it.fault = &Fault{"export " + want.Name, "none", it.Signature, missingCause(m, want)}
		it.Note = it.fault.Cause
	default:
		it.Verdict = optional
	}
	return it
}

// talks tells whether a module can have connections: it is not one of datagrams alone.
func talks(m Module) bool {
	if _, ok := m.Export("datagramsReceived"); !ok {
		return true
	}
	for _, e := range Exports() {
		if _, ok := m.Export(e.Name); ok && e.need == talk {
			return true
		}
	}
	return imported(m, "reactor.connect reactor.connectAs reactor.listen") != ""
}

// imported is the first of keys, which spaces part, that a module imports; "" = none.
func imported(m Module, keys string) string {
	for _, key := range strings.Fields(keys) {
		if slices.ContainsFunc(m.Imports, func(i ModuleImport) bool { return i.Module+"."+i.Name == key }) {
			return key
		}
	}
	return ""
}

// commandCause is how a command came to be, and the cure.
const commandCause = "the module is a command, which runs once and ends, not a reactor: " +
	"build Go with -buildmode=c-shared, TinyGo with -buildmode=c-shared, " +
	"clang with -mexec-model=reactor, Rust with --crate-type cdylib"

// isCommand tells whether a module has a main function only. What it exports
// besides may not be called before that has run, and not after it has ended.
func isCommand(m Module) bool {
	start, ok := m.Export("_start")
	_, reactor := m.Export(ExportInitialize)
	return ok && start.Kind == KindFunction && !reactor
}

// missingCause guesses why an export is not there.
func missingCause(m Module, want Export) string {
	if want.Name == ExportVersion {
		for _, e := range m.Exports {
			if v, ok := strings.CutPrefix(e.Name, VersionPrefix); ok {
				return fmt.Sprintf("the module is of ABI version %s; this host speaks version %d", v, Version)
			}
		}
	}
	if want.need == with {
		return "the module imports " + imported(m, want.with)
	}
	isMemory := func(i ModuleImport) bool { return i.Kind == KindMemory }
	if want.Name == ExportMemory && slices.ContainsFunc(m.Imports, isMemory) {
		return "the module imports its memory: link it without --import-memory"
	}
	for _, e := range m.Exports {
		if e.Kind == KindFunction && fold(e.Name) == fold(want.Name) {
			return fmt.Sprintf("did you mean the export %s?", e.Name)
		}
	}
	return ""
}

func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

func checkImport(i ModuleImport, given map[string]Import) Item {
	key := i.Module + "." + i.Name
	it := Item{What: "import", Name: key, Signature: describe(i.Kind, i.Signature), Verdict: satisfied}
	want, ok := given[key]
	switch {
	case !ok:
		it.Verdict = missing
		it.fault = &Fault{"import " + key, it.Signature, "a function that the host gives", importCause(i, given)}
		it.Note = it.fault.Cause
	case i.Kind != KindFunction || !i.Signature.Equal(want.Signature):
		it.Verdict = wrong
		it.fault = &Fault{"import " + key, it.Signature, want.Signature.String(), ""}
		it.Note = "wanted " + it.fault.Wanted
	}
	return it
}

// importCause guesses what an unknown import is for.
func importCause(i ModuleImport, given map[string]Import) string {
	switch {
	case i.Kind != KindFunction:
		return fmt.Sprintf("the host gives functions only: let the module define its own %s", i.Kind)
	case i.Module == "env" && i.Name == "abort":
		return "AssemblyScript: build with --use abort=wirehost/abort, or with --use abort="
	case i.Module == "env" && i.Name == "seed":
		return "AssemblyScript's Math.random: build with --use seed=wirehost/seed"
	case i.Module == "env" && strings.HasPrefix(i.Name, "Date."):
		return "AssemblyScript's Date: build with --use Date=wirehost/ServerDate, or call time of wirehost.ts"
	case i.Module == "env" && (strings.HasPrefix(i.Name, "console.") || i.Name == "trace"):
		return "AssemblyScript: call log of wirehost.ts"
	case i.Module == "env" && strings.HasPrefix(i.Name, "emscripten_"):
		return "Emscripten's runtime: build with clang and wasi-libc, or with -nostdlib"
	case strings.HasPrefix(i.Module, "wasi:"):
		return "a component of WASI preview 2: build for preview 1"
	case strings.HasPrefix(i.Module, "wasi") && i.Module != ModuleWASI:
		return "the host gives WASI preview 1, as module " + ModuleWASI
	case i.Module == ModuleWASI:
		return "not a function of WASI preview 1"
	case i.Module == "gojs" || i.Module == "go":
		return "Go for the browser: build with GOOS=wasip1, not GOOS=js"
	}
	for _, g := range given {
		if g.Name == i.Name && g.Module != ModuleWASI {
			return fmt.Sprintf("it is in module %s: in C use __attribute__((import_module(%q))), "+
				"in Rust #[link(wasm_import_module = %[2]q)]", g.Module, g.Module)
		}
	}
	for _, g := range given {
		if fold(g.Name) == fold(i.Name) {
			return fmt.Sprintf("did you mean %s?", g.Key())
		}
	}
	if i.Module == "env" {
		return "an undefined symbol: something was not linked"
	}
	return ""
}

// foreign recognises modules that were made for another host.
func foreign(m Module) *Fault {
	host := ""
	for _, e := range m.Exports {
		switch {
		case strings.HasPrefix(e.Name, "proxy_abi_version_"):
			host = "Envoy (proxy-wasm)"
		case e.Name == "handle_request" || e.Name == "handle_response":
			host = "http-wasm"
		}
	}
	for _, i := range m.Imports {
		switch {
		case strings.HasPrefix(i.Module, "extism:"):
			host = "Extism"
		case i.Module == "http_handler":
			host = "http-wasm"
		case strings.HasPrefix(i.Module, "wasi:"):
			host = "the component model (WASI preview 2)"
		}
	}
	if host == "" {
		return nil
	}
	return &Fault{"module", "a module for " + host, fmt.Sprintf("a guest of this ABI, version %d", Version), ""}
}
