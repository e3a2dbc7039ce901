package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// plain checks that a failure is told in want's lines alone, each containing
// its part of want, with no stack trace.
func (r result) plain(t *testing.T, want ...string) {
	t.Helper()
	if r.code != exitFailed {
		t.Errorf("found exit code %d, wanted %d", r.code, exitFailed)
	}
	if r.stdout != "" {
		t.Errorf("found %q on stdout", r.stdout)
	}
	var errs []string
	for _, line := range r.lines() {
		if !strings.Contains(line, "[INFO]") {
			errs = append(errs, line)
		}
	}
	if len(errs) != len(want) {
		t.Fatalf("found %d lines, wanted %d:\n%s", len(errs), len(want), r.stderr)
	}
	for i, w := range want {
		if !strings.Contains(errs[i], w) {
			t.Errorf("found %q, wanted %q in it", errs[i], w)
		}
	}
	for _, bad := range []string{"goroutine ", "panic", ".go:", " ready:"} {
		if strings.Contains(r.stderr, bad) {
			t.Errorf("found %q in %q", bad, r.stderr)
		}
	}
}

// Bad configuration: serve and validate say the same, and start nothing.
func TestBadConfiguration(t *testing.T) {
	const ok = "plugins: {a: {module: builtin:echo}}\n"
	cases := []struct {
		name, file string
		want       []string
	}{
		{"unknown key", "log: {levle: info}\n",
			[]string{`FILE:1: log.levle: found an unknown key, wanted one of level, format; did you mean "level"?`}},
		{"wrong type", "reactor: {loops: some}\n",
			[]string{`FILE:1: reactor.loops: found "some", wanted a whole number`}},
		{"two listeners on one endpoint", ok + "listeners:\n- {endpoint: \"tcp://127.0.0.1:7\", plugin: a}\n" +
			"- {endpoint: \"tcp://127.0.0.1:7\", plugin: a}\n",
			[]string{`FILE:4: listeners.1.endpoint: found "tcp://127.0.0.1:7", which is listeners.0's too, wanted ` +
				`one endpoint for each`}},
		{"listener naming no plugin", ok + "listeners:\n- {endpoint: \"tcp://:7\", plugin: b}\n",
			[]string{`FILE:3: listeners.0.plugin: found "b", wanted the name of one under plugins (a)`}},
		{"all at once", "log: {level: 1}\nreactor: {loops: -1}\n",
			[]string{"FILE:1: log.level: found the number 1",
				"FILE:2: reactor.loops: found the number -1, wanted 0 to 1024"}},
	}
	for _, tc := range cases {
		for _, cmd := range []string{"serve", "validate"} {
			t.Run(cmd+" "+tc.name, func(t *testing.T) {
				file := write(t, "c.yaml", tc.file)
				var want []string
				for _, w := range tc.want {
					want = append(want, "wirehost: "+strings.ReplaceAll(w, "FILE", file))
				}
				command(t, cmd, "--config", file).plain(t, want...)
			})
		}
	}
	for _, cmd := range []string{"serve", "validate"} {
		command(t, cmd, "--config", "nowhere.yaml").
			plain(t, "wirehost: configuration: open nowhere.yaml: no such file or directory")
		command(t, cmd, "--set", "log.level=loud", "--log-format=xml").plain(t,
			`wirehost: --log-format: log.format: found "xml", wanted text or json`,
			`wirehost: --set: log.level: found "loud", wanted trace, debug, info, warn or error`)
	}
}

// badModules are files that can't be hosted, each with what must be said.
func badModules() []struct {
	name   string
	module []byte
	want   []string
} {
	type list = []struct {
		name   string
		module []byte
		want   []string
	}
	whole := guest(nil)
	return list{
		{"a text file", []byte("(module)\n"), []string{"found"}},
		{"an empty file", nil, []string{"found"}},
		{"a truncated module", whole[:len(whole)-3], []string{"byte 0x"}},
		{"a command module", guest(func(m *wasmbin.Module) {
			m.Exports = []wasmbin.Export{{Name: "memory", Kind: wasmbin.KindMemory},
				{Name: "_start", Kind: wasmbin.KindFunction}}
		}), []string{"_start"}},
		{"a module without dataReceived", guest(without("dataReceived")), []string{"export dataReceived"}},
		{"a wrong signature", guest(func(m *wasmbin.Module) { m.Functions[3] = 2 }),
			[]string{"export dataReceived: found (i32, i32), wanted (i32, i32, i32)"}},
		{"an unknown import", guest(func(m *wasmbin.Module) {
			m.Imports = []wasmbin.Import{
				{Module: "transport", Name: "frobnicate", Kind: wasmbin.KindFunction, Function: 1}}
			for i := range m.Exports {
				if m.Exports[i].Kind == wasmbin.KindFunction {
					m.Exports[i].Index++
				}
			}
		}), []string{"import transport.frobnicate"}},
		{"a tail call, and no dataReceived", guest(func(m *wasmbin.Module) {
			without("dataReceived")(m)
			m.Code[0].Body = []byte{0x12, 0, 0x0b}
		}), []string{"export dataReceived: found none", "(tail calls), wanted an instruction of WebAssembly 2.0"}},
		{"a tail call", guest(func(m *wasmbin.Module) { m.Code[0].Body = []byte{0x12, 0, 0x0b} }),
			[]string{"(tail calls), wanted an instruction of WebAssembly 2.0"}},
		{"4 GiB of memory at the start", guest(func(m *wasmbin.Module) { m.Memories[0].Min = 65536 }),
			[]string{"bytes at the start (memory 4294967296 + "}},
		{"a name that forges", guest(func(m *wasmbin.Module) {
			m.Imports = []wasmbin.Import{
				{Module: "log", Name: "x\n2026-01-01 [ERROR] forged", Kind: wasmbin.KindFunction, Function: 1}}
			for i := range m.Exports {
				if m.Exports[i].Kind == wasmbin.KindFunction {
					m.Exports[i].Index++
				}
			}
		}), []string{`import log.x\n`}},
	}
}

func TestBadModules(t *testing.T) {
	for _, tc := range badModules() {
		file := write(t, "m.wasm", string(tc.module))
		args := []string{"--config", write(t, "c.yaml", "plugins: {a: {module: "+file+"}}\n")}
		for _, cmd := range []string{"serve", "validate"} {
			t.Run(cmd+" "+tc.name, func(t *testing.T) {
				got := command(t, append([]string{cmd}, args...)...)
				if tc.name == "a command module" { // misses the rest too
					if got.code != exitFailed || !strings.Contains(got.stderr, "-buildmode=c-shared") {
						t.Errorf("found %d %q", got.code, got.stderr)
					}
					return
				}
				got.plain(t, tc.want...)
			})
		}
		t.Run("inspect "+tc.name, func(t *testing.T) {
			got := command(t, "inspect", file)
			// that is the host's limit, not the ABI's
			if got.code != exitFailed && !strings.HasPrefix(tc.name, "4 GiB") {
				t.Errorf("found exit code %d: %q", got.code, got.stdout)
			}
			for _, line := range got.lines() {
				if line != "" && !strings.HasPrefix(line, "wirehost: "+file+": ") {
					t.Errorf("found %q", line)
				}
			}
		})
	}
}

func TestBadDigest(t *testing.T) {
	b := guest(nil)
	file := write(t, "m.wasm", string(b))
	sum := sha256.Sum256(b)
	good, bad := hex.EncodeToString(sum[:]), strings.Repeat("0", 64)
	set := "plugins={echo: {module: " + file + ", sha256: \"SUM\"}}"
	args := []string{"--set", strings.ReplaceAll(set, "SUM", bad)}
	for _, cmd := range []string{"serve", "validate"} {
		command(t, append([]string{cmd}, args...)...).plain(t, "found sha256 "+good+", wanted "+bad)
	}
	if got := command(t, "validate", "--set", strings.ReplaceAll(set, "SUM", good)); got.code != exitFine ||
		got.stdout != "ok\n" || got.stderr != "" {
		t.Errorf("found %d %q %q", got.code, got.stdout, got.stderr)
	}
}

// What is wrong with a listener beyond its text is told with where it was said.
func TestListenerIsLocated(t *testing.T) {
	file := write(t, "c.yaml", "plugins: {a: {module: \"builtin:echo\"}}\nlisteners:\n"+
		"  - {endpoint: \"tcp://127.0.0.1:0\", plugin: a}\n  - {endpoint: \"udp://127.0.0.1:0\", plugin: a}\n")
	command(t, "validate", "--config", file).plain(t, file+":4: listeners.1: listener udp://127.0.0.1:0: found no "+
		"export datagramsReceived")
}

// Every fault of every plugin is told, not the first.
func TestManyFaults(t *testing.T) {
	one := write(t, "one.wasm", string(guest(without("dataReceived"))))
	two := write(t, "two.wasm",
		string(guest(func(m *wasmbin.Module) { without("connectionMade")(m); without("memory")(m) })))
	file := write(t, "c.yaml", "plugins: {a: {module: "+one+"}, b: {module: "+two+
		"}, c: {module: gone.wasm}, d: {module: \"builtin:gone\"}}\n")
	for _, cmd := range []string{"serve", "validate"} {
		command(t, cmd, "--config", file).plain(t,
			"plugin a: module "+one+": export dataReceived",
			"plugin b: module "+two+": ", "plugin b: module "+two+": ",
			"plugin c: module "+filepath.Join(filepath.Dir(file), "gone.wasm")+": ",
			"plugin d: module builtin:gone: found no built-in module")
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := command(t, "serve", "--set", "listeners.0.endpoint=tcp://127.0.0.1:0", "--set",
		"listeners.1.endpoint=tcp://"+ln.Addr().String())
	got.plain(t, "address already in use")
	if !strings.Contains(got.stderr, ln.Addr().String()) {
		t.Errorf("found %q, wanted the address in it", got.stderr)
	}
}

func TestInspect(t *testing.T) {
	file := write(t, "m.wasm", string(guest(nil)))
	got := command(t, "inspect", file)
	if got.code != exitFine || got.stderr != "" {
		t.Fatalf("found %d %q", got.code, got.stderr)
	}
	for _, want := range []string{"can be hosted", "128 KiB, no maximum", "satisfied  dataReceived", "(i32, i32, i32)",
		"optional   startFactory"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("found no %q in\n%s", want, got.stdout)
		}
	}
	got = command(t, "inspect", "-o", "json", file)
	var r report
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.ABI) != 1 || r.ABI[0] != 1 || r.Memory.Min != 128<<10 || r.Memory.Max != 0 || len(r.Items) < 20 ||
		len(r.SHA256) != 64 {
		t.Errorf("found %+v", r)
	}
	bad := write(t, "bad.wasm", string(guest(without("dataReceived"))))
	got = command(t, "inspect", "-o", "json", bad)
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != exitFailed || r.OK ||
		len(r.Faults) != 1 || got.stderr != "" {
		t.Errorf("found %d %v %+v %q", got.code, err, r.Faults, got.stderr)
	}
	command(t, "inspect", "gone.wasm").plain(t, "wirehost: open gone.wasm: no such file or directory")
	command(t, "inspect", t.TempDir()).plain(t, "is a directory")
	// Names in a module are its author's words.
	evil := guest(func(m *wasmbin.Module) {
		m.Exports = append(m.Exports, wasmbin.Export{Name: "x\n\x1b[2J", Kind: wasmbin.KindFunction})
	})
	if err := os.WriteFile(file, evil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "inspect", file); strings.Contains(got.stdout, "\x1b") ||
		!strings.Contains(got.stdout, `x\n\x1b[2J`) {
		t.Errorf("found %q", got.stdout)
	}
}

// importing is a guest with an import of type t.
func importing(im abi.Import, t abi.Signature) []byte {
	return guest(func(m *wasmbin.Module) {
		m.Types = append(m.Types, wasmbin.FuncType{Params: t.Params, Results: t.Results})
		m.Imports = []wasmbin.Import{{Module: im.Module, Name: im.Name, Kind: wasmbin.KindFunction,
			Function: uint32(len(m.Types) - 1)}}
		for n := range m.Exports {
			if m.Exports[n].Kind == wasmbin.KindFunction {
				m.Exports[n].Index++
			}
		}
	})
}

// inspected is what inspect tells of a module.
func inspected(t *testing.T, module []byte) (r report) {
	t.Helper()
	got := command(t, "inspect", "-o", "json", write(t, "m.wasm", string(module)))
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, got.stderr)
	}
	return r
}

// satisfies tells whether inspect finds a part of the contract in a module.
func (r report) satisfies(what, name string, signature abi.Signature) bool {
	return slices.ContainsFunc(r.Items, func(it abi.Item) bool {
		return it.What == what && it.Name == name && it.Verdict == "satisfied" && it.Signature == signature.String()
	})
}

// Inspect knows every import of the ABI, and tells of one that has another signature, and of the
// callback that one needs.
func TestInspectImports(t *testing.T) {
	needs := map[string]string{ // what the guest does not export
		"transport.registerProducer": "pauseProducing", "reactor.callLater": "delayedCall",
		"reactor.connect": "clientConnectionFailed", "reactor.connectAs": "clientConnectionFailed",
		"datagram.open": "datagramsReceived",
	}
	for _, im := range abi.Imports() {
		r := inspected(t, importing(im, im.Signature))
		if !r.satisfies("import", im.Key(), im.Signature) {
			t.Errorf("import %s: found %+v", im.Key(), r.Items)
		}
		if faults := strings.Join(r.Faults, "\n"); r.OK != (needs[im.Key()] == "") ||
			!strings.Contains(faults, needs[im.Key()]) {
			t.Errorf("import %s: found the faults %q, wanted one of %q", im.Key(), faults, needs[im.Key()])
		}
		other := abi.Signature{Params: append(slices.Clone(im.Signature.Params), wasmbin.F32)}
		r = inspected(t, importing(im, other))
		if faults := strings.Join(r.Faults, "\n"); r.OK || !strings.Contains(faults, "import "+im.Key()) {
			t.Errorf("import %s of another signature: found the faults %q", im.Key(), faults)
		}
	}
}

// exporting is a guest with an export of type t.
func exporting(name string, t abi.Signature) []byte {
	return guest(func(m *wasmbin.Module) {
		without(name)(m)
		m.Exports = append(m.Exports, wasmbin.Export{Name: name, Kind: wasmbin.KindFunction,
			Index: uint32(len(m.Functions))})
		m.Functions = append(m.Functions, uint32(len(m.Types)))
		m.Types = append(m.Types, wasmbin.FuncType{Params: t.Params, Results: t.Results})
		m.Code = append(m.Code, wasmbin.Code{Body: []byte{0x00, 0x0b}}) // unreachable
	})
}

// Inspect knows every export of the ABI, and tells of one that has another signature.
func TestInspectExports(t *testing.T) {
	for _, ex := range abi.Exports() {
		r := inspected(t, exporting(ex.Name, ex.Signature))
		if memory := ex.Name == abi.ExportMemory; r.OK == memory ||
			r.satisfies("export", ex.Name, ex.Signature) == memory { // which is no function
			t.Errorf("export %s: found %+v, %q", ex.Name, r.Items, r.Faults)
		}
		other := abi.Signature{Params: append(slices.Clone(ex.Params), wasmbin.F32), Results: ex.Results}
		r = inspected(t, exporting(ex.Name, other))
		if faults := strings.Join(r.Faults, "\n"); r.OK || !strings.Contains(faults, "export "+ex.Name) {
			t.Errorf("export %s of another signature: found the faults %q", ex.Name, faults)
		}
	}
}

// A file that no module can be is not read.
func TestInspectHuge(t *testing.T) {
	file := write(t, "m.wasm", "")
	if err := os.Truncate(file, maxModule+1); err != nil {
		t.Skip(err) // no sparse files here
	}
	command(t, "inspect", file).plain(t,
		"wirehost: "+file+": found more than 1073741824 bytes, which no module may have")
}
