package abi

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

//go:embed ABI.md
var page string

// row is a line of one of ABI.md's tables.
type row struct{ module, name, signature string }

var (
	moduleLine = regexp.MustCompile("^Module `(\\w+)`$")
	tableLine  = regexp.MustCompile("^\\| (`[^|]*`) \\| ([^|]*) \\|")
	nameIn     = regexp.MustCompile("`(\\w+)`")
)

// rows reads the tables of functions: what a guest exports comes before the
// first module.
func rows() []row {
	module := ""
	var list []row
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if m := moduleLine.FindStringSubmatch(line); m != nil {
			module = m[1]
		}
		if m := tableLine.FindStringSubmatch(line); m != nil {
			for _, name := range nameIn.FindAllStringSubmatch(m[1], -1) {
				list = append(list, row{module, name[1], m[2]})
			}
		}
	}
	return list
}

var typeIn = regexp.MustCompile(`\bi64\b|\bf64\b`)

// shape is a signature as the page writes it: parameters by name, all of them
// i32, results by type.
func shape(s Signature) (params int, result string) {
	result = "()"
	if len(s.Results) > 0 {
		result = s.Results[0].String()
	}
	return len(s.Params), result
}

// read is the table's own reader.
func read(text string) Signature { return sig(text) }

func shapeOf(text string) (params int, result string) {
	in, out, ok := strings.Cut(text, "->")
	in = strings.Trim(strings.TrimSpace(in), "()")
	if in != "" {
		params = strings.Count(in, ",") + 1
	}
	result = "()"
	if ok {
		result = strings.TrimSpace(out)
		if result == "ptr" {
			result = "i32"
		}
	}
	return params, result
}

func TestPageAndTable(t *testing.T) {
	table := map[string]Signature{}
	for _, e := range Exports() {
		table["."+e.Name] = e.Signature
	}
	names := map[string][]string{} // of an import's parameters
	for _, i := range Imports() {
		table[i.Key()], names[i.Key()] = i.Signature, i.ParamNames
	}
	seen := map[string]bool{}
	for _, r := range rows() {
		key := r.module + "." + r.name
		sig, ok := table[key]
		if !ok {
			t.Errorf("ABI.md has %q, which the table has not", key)
			continue
		}
		seen[key] = true
		if r.name == ExportMemory {
			continue
		}
		if in, _, _ := strings.Cut(r.signature, "->"); typeIn.MatchString(in) && !sig.Equal(read(r.signature)) {
			t.Errorf("%s: ABI.md says %s, the table %s", key, r.signature, sig)
		}
		if want := names[key]; want != nil && !slices.Equal(paramNames(r.signature), want) {
			t.Errorf("%s: ABI.md says %s, the table has the parameters %q", key, r.signature, want)
		}
		wantParams, wantResult := shape(sig)
		if params, result := shapeOf(r.signature); params != wantParams || result != wantResult {
			t.Errorf("%s: ABI.md says %s, the table %s", key, r.signature, sig)
		}
	}
	for key := range table {
		if !seen[key] {
			t.Errorf("the table has %s, which ABI.md has not", key)
		}
	}
}

func TestPageAndCodes(t *testing.T) {
	flat := strings.ReplaceAll(page, "\n", " ")
	for _, s := range Statuses() {
		want := fmt.Sprintf("`%d %s` %s", s.Value, s.Symbol, s.Meaning)
		if !strings.Contains(flat, want) {
			t.Errorf("ABI.md has no %q", want)
		}
	}
	for _, r := range slices.Concat(Reasons(), Levels(), StateBits(), MetricKinds(), DatagramOptions()) {
		if want := fmt.Sprintf("%d %s", r.Value, r.Meaning); !strings.Contains(flat, want) {
			t.Errorf("ABI.md has no reason, level, bit or kind %q", want)
		}
	}
}

// The tables of codes have all numbers that there are, and those of the constants.
func TestCodes(t *testing.T) {
	for _, table := range []struct {
		name string
		rows []Code
		len  int
		at   func(n int) int
	}{
		{"statuses", Statuses(), -int(ENOTNOW), func(n int) int { return -1 - n }},
		{"reasons", Reasons(), 13, func(n int) int { return n }},
		{"levels", Levels(), LevelError + 1, func(n int) int { return n }},
		{"kinds", MetricKinds(), MetricHistogram, func(n int) int { return n + 1 }},
		{"datagram options", DatagramOptions(), 4, func(n int) int { return n + 1 }},
		{"bits", StateBits(), 8, func(n int) int { return 1 << n }},
	} {
		if len(table.rows) != table.len {
			t.Errorf("found %d %s, wanted %d", len(table.rows), table.name, table.len)
		}
		for n, c := range table.rows {
			if int(c.Value) != table.at(n) {
				t.Errorf("%s, %q: found %d, wanted %d", table.name, c.Name, c.Value, table.at(n))
			}
		}
	}
	for found, wanted := range map[string]string{
		ENOCONN.String(): "-1 ENOCONN (no such connection)", Status(-99).String(): "-99",
		Reason(1).String(): "lost (I/O error)", Reason(99).String(): "reason 99",
	} {
		if found != wanted {
			t.Errorf("found %q, wanted %q", found, wanted)
		}
	}
}

// good is a module that can be hosted.
func good() Module {
	m := Module{Memory: &MemoryType{Min: 1}}
	for _, e := range Exports() {
		if e.need == must || e.need == talk {
			kind := KindFunction
			if e.Name == ExportMemory {
				kind = KindMemory
			}
			m.Exports = append(m.Exports, ModuleExport{e.Name, kind, e.Signature})
		}
	}
	return m
}

func without(m Module, name string) Module {
	m.Exports = slices.DeleteFunc(slices.Clone(m.Exports), func(e ModuleExport) bool { return e.Name == name })
	return m
}

func exporting(m Module, name, signature string) Module {
	m = without(m, name)
	m.Exports = append(m.Exports, ModuleExport{name, KindFunction, sig(signature)})
	return m
}

func importing(m Module, module, name, signature string) Module {
	m.Imports = append(slices.Clone(m.Imports), ModuleImport{module, name, KindFunction, sig(signature)})
	return m
}

func TestValidate(t *testing.T) {
	memory := good()
	memory.Imports = []ModuleImport{{"env", "memory", KindMemory, Signature{}}}
	wasi := good()
	wasi.Imports = []ModuleImport{{ModuleWASI, "path_open", KindFunction, wasiSig("iiiiillii:i")}}
	otherKinds := exporting(good(), ExportMemory, "()")
	otherKinds.Exports = append(otherKinds.Exports, ModuleExport{Name: "stopFactory", Kind: KindGlobal})
	for _, c := range []struct {
		name string
		m    Module
		want []string // parts of the faults, one each
	}{
		{"good", good(), nil},
		{"all of WASI", wasi, nil},
		{"no dataReceived", without(good(), "dataReceived"),
			[]string{"export dataReceived: found none, wanted (i32, i32, i32)"}},
		{"two missing", without(without(good(), "connectionMade"), "connectionLost"),
			[]string{"export connectionMade: found none", "export connectionLost: found none"}},
		{"wrong signature", exporting(good(), "dataReceived", "(conn, ptr)"),
			[]string{"export dataReceived: found (i32, i32), wanted (i32, i32, i32)"}},
		{"other kinds", otherKinds,
			[]string{"export memory: found (), wanted memory", "export stopFactory: found global, wanted ()"}},
		{"other spelling", exporting(without(good(), "dataReceived"), "data_received", "(conn, ptr, len)"),
			[]string{"did you mean the export data_received?"}},
		{"command", exporting(without(without(good(), "connectionMade"), ExportVersion), "_start", "()"),
			[]string{"abi_version_1: found none", "-buildmode=c-shared"}},
		{"command with all exports", exporting(good(), "_start", "()"),
			[]string{"export _initialize: found _start alone, wanted () (the module is a command"}},
		{"command and reactor", exporting(exporting(good(), "_start", "()"), ExportInitialize, "()"), nil},
		{"later version", exporting(without(good(), ExportVersion), "abi_version_2", "()"), []string{"ABI version 2"}},
		{"unknown import", importing(good(), "transport", "sendfile", "(conn, ptr, len) -> i32"),
			[]string{"import transport.sendfile: found (i32, i32, i32) -> i32, wanted a function that the host gives"}},
		{"import's case", importing(good(), "transport", "lose_connection", "(conn) -> i32"),
			[]string{"did you mean transport.loseConnection?"}},
		{"import's module", importing(good(), "env", "write", "(conn, ptr, len) -> i32"),
			[]string{`import_module("transport")`}},
		{"import's signature", importing(good(), "transport", "write", "(conn, ptr) -> i32"),
			[]string{"import transport.write: found (i32, i32) -> i32, wanted (i32, i32, i32) -> i32"}},
		{"datagrams alone", exporting(without(without(without(good(), "dataReceived"), "connectionMade"),
			"connectionLost"), "datagramsReceived", "(sock, ptr, n)"), nil},
		{"datagrams and half of connections", exporting(without(good(), "dataReceived"), "datagramsReceived",
			"(sock, ptr, n)"), []string{"export dataReceived: found none"}},
		{"datagrams and connect", importing(exporting(exporting(without(without(without(good(), "dataReceived"),
			"connectionMade"), "connectionLost"), "datagramsReceived", "(sock, ptr, n)"), "clientConnectionFailed",
			"(conn, reason)"), "reactor", "connect", "(conn, ptr, len) -> i32"),
			[]string{"connectionMade", "dataReceived", "connectionLost"}},
		{"open alone", importing(good(), "datagram", "open", "(conn, ptr) -> i32"),
			[]string{"datagramsReceived", "stopProtocol"}},
		{"callLater alone", importing(good(), "reactor", "callLater", "(conn) -> i32"),
			[]string{"export delayedCall: found none, wanted (i32) (the module imports reactor.callLater)"}},
		{"producer alone", importing(good(), "transport", "registerProducer", "(conn, ptr) -> i32"),
			[]string{"pauseProducing", "resumeProducing", "stopProducing"}},
		{"connect alone", importing(good(), "reactor", "connect", "(conn, ptr, len) -> i32"),
			[]string{"clientConnectionFailed"}},
		{"WASI too new", importing(good(), "wasi:io/streams@0.2.0", "read", "(conn) -> i32"),
			[]string{"component model", "build for preview 1"}},
		{"WASI too old", importing(good(), "wasi_unstable", "fd_write", "(a, b, c, d) -> i32"),
			[]string{"WASI preview 1, as module wasi_snapshot_preview1"}},
		{"WASI too much", importing(good(), ModuleWASI, "sock_open", "(conn, ptr, len) -> i32"),
			[]string{"not a function of WASI preview 1"}},
		{"Envoy", without(exporting(good(), "proxy_abi_version_0_2_0", "()"), ExportVersion),
			[]string{"a module for Envoy", "abi_version_1"}},
		{"Extism", importing(good(), "extism:host/env", "input_length", "() -> i64"),
			[]string{"a module for Extism", "extism:host/env.input_length"}},
		{"browser", importing(good(), "gojs", "runtime.wasmExit", "(conn)"), []string{"GOOS=wasip1"}},
		{"AssemblyScript", importing(good(), "env", "abort", "(a, b, c, d)"), []string{"--use abort="}},
		{"memory imported", without(memory, ExportMemory),
			[]string{"--import-memory", "the host gives functions only"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := Validate(c.m)
			if len(faults) != len(c.want) && c.name != "command" {
				t.Errorf("found %d faults, wanted %d: %v", len(faults), len(c.want), faults)
			}
			var all []string
			for _, f := range faults {
				all = append(all, f.String())
			}
			for _, want := range c.want {
				if !strings.Contains(strings.Join(all, "\n"), want) {
					t.Errorf("no fault says %q:\n%s", want, strings.Join(all, "\n"))
				}
			}
		})
	}
}

func TestUnpack(t *testing.T) {
	if ptr, size := Unpack(0xdeadbeef_12345678); ptr != 0xdeadbeef || size != 0x12345678 {
		t.Errorf("%#x, %#x", ptr, size)
	}
}
