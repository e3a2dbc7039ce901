package wasmbin

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// NameSection is the name of the custom section with the module's, functions'
// and locals' names (WebAssembly specification, appendix 7.4).
const NameSection = "name"

// subsections of the name section whose entries start with function indices
const (
	namesFunctions = 1
	namesLocals    = 2
	namesLabels    = 3
)

// custom gives the data of the first custom section of that name.
func (m *Module) custom(name string) []byte {
	for i := range m.Custom {
		if m.Custom[i].Name == name {
			return m.Custom[i].Data
		}
	}
	return nil
}

// FunctionNames gives the names of functions by index. As the specification
// demands of custom sections, one that can't be read counts as absent.
func (m *Module) FunctionNames() map[uint32]string {
	names := map[uint32]string{}
	ok := eachSubsection(m.custom(NameSection), func(id byte, r *reader) {
		if id != namesFunctions {
			return
		}
		for range r.count(2, "names") {
			i := r.u32("a function")
			names[i] = r.name("a name")
		}
	})
	if !ok {
		return nil
	}
	return names
}

// eachSubsection walks over a name section and reports whether it is sound.
func eachSubsection(b []byte, each func(id byte, r *reader)) bool {
	r := &reader{b: b, where: NameSection}
	for r.left() > 0 {
		id := r.byte("a subsection")
		body := r.bytes(int(r.u32("its size")), "a subsection")
		if r.err != nil {
			return false
		}
		sub := &reader{b: body, where: NameSection}
		if each(id, sub); sub.err != nil {
			return false
		}
	}
	return r.err == nil
}

// FunctionName is a name for the function of an index.
type FunctionName struct {
	Index uint32
	Name  string
}

// ShiftNames returns a name section in which every function from index first
// on has moved up by n, with the names of more, in ascending order, behind
// those of the other functions. ok is false where the section can't be read.
func ShiftNames(section []byte, first, n uint32, more []FunctionName) (shifted []byte, ok bool) {
	out := make([]byte, 0, len(section)+len(section)/64+16)
	shift := func(b []byte, r *reader) []byte {
		i := r.u32("a function")
		if i >= first {
			i += n
		}
		return AppendU32(b, i)
	}
	ok = eachSubsection(section, func(id byte, r *reader) {
		out = appendSized(append(out, id), func(b []byte) []byte {
			if id != namesFunctions && id != namesLocals && id != namesLabels {
				return append(b, r.b...)
			}
			entries := r.count(2, "names")
			added := more
			if id != namesFunctions {
				added = nil
			}
			b = AppendU32(b, uint32(entries+len(added)))
			for range entries {
				b = shift(b, r)
				from := r.pos
				if id == namesFunctions {
					r.name("a name")
				} else {
					for range r.count(2, "names") {
						r.u32("an index")
						r.name("a name")
					}
				}
				b = append(b, r.b[from:max(from, r.pos)]...)
			}
			for _, f := range added {
				b = appendName(AppendU32(b, f.Index), f.Name)
			}
			r.done()
			return b
		})
	})
	return out, ok
}

// Producer is one entry of the producers section (WebAssembly tool
// conventions): what made the module.
type Producer struct {
	Field   string // language, processed-by, sdk
	Name    string
	Version string
}

// Producers lists what made the module, in the order written; none where the
// section is absent or can't be read.
func (m *Module) Producers() []Producer {
	r := &reader{b: m.custom("producers"), where: "producers"}
	if r.left() == 0 {
		return nil
	}
	var all []Producer
	for range r.count(2, "fields") {
		field := r.name("a field")
		for range r.count(2, "values") {
			all = append(all, Producer{field, r.name("a name"), r.name("a version")})
		}
	}
	if r.err != nil {
		return nil
	}
	return all
}

// Toolchain says in a few words what made the module, such as
// "Rust 1.63.0, rustc 1.63.0"; "" where nothing tells.
func (m *Module) Toolchain() string {
	// Zig's producers section says C99; its debug information says what it is.
	if zig := regexp.MustCompile(`zig (\d[^\x00]{0,40})\x00`).FindSubmatch(m.custom(".debug_str")); zig != nil {
		return "Zig " + string(zig[1])
	}
	var parts []string
	for _, field := range []string{"language", "processed-by", "sdk"} {
		for _, p := range m.Producers() {
			part := strings.TrimSpace(p.Name + " " + p.Version)
			if p.Field == field && part != "" && !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) == 0 {
		return m.guessToolchain()
	}
	return strings.Join(parts, ", ")
}

// guessToolchain knows compilers that leave no producers section by what else
// they leave.
func (m *Module) guessToolchain() string {
	sdk, _, _ := strings.Cut(m.SDK(), " ")
	lib := func(name string) bool { return strings.HasPrefix(name, "~lib/") }
	switch {
	case sdk == "Zig", sdk == "AssemblyScript": // stripped, they leave nothing else
		return sdk
	case slices.ContainsFunc(slices.Collect(maps.Values(m.FunctionNames())), lib):
		return "AssemblyScript"
	case m.custom("go:buildid") != nil:
		return "Go"
	case m.custom("sourceMappingURL") != nil && m.exports("__new"), m.exports("__new") && m.exports("__pin"):
		return "AssemblyScript"
	}
	return ""
}

// SDK says which of wirehost's SDKs the module was written with, and its version,
// such as "C 0.1.0"; "" where nothing tells. It is the module's word, of any bytes.
func (m *Module) SDK() string {
	if name := m.custom("wirehost_sdk"); name != nil {
		return string(name[:min(len(name), maxSDK)])
	}
	// In AssemblyScript there are no sections of one's own, but there is data. In Go's
	// the linker leaves the versions of modules.
	const own = "wirehost_sdk:"
	dependency := regexp.MustCompile(`\n(?:mod|dep)\tgithub\.com/wirehost/wirehost(?:/sdk/go)?\tv?(\S{1,64})[\t\n]`)
	for i := range m.Data {
		_, after, found := bytes.Cut(m.Data[i].Init, []byte(own))
		if name, _, ended := bytes.Cut(after, []byte("\n")); found && ended && len(name) <= maxSDK {
			return string(name)
		}
		if found := dependency.FindSubmatch(m.Data[i].Init); found != nil {
			return "Go " + string(found[1])
		}
	}
	return ""
}

// maxSDK is how many bytes an SDK's name may have.
const maxSDK = 64

func (m *Module) exports(name string) bool {
	return slices.ContainsFunc(m.Exports, func(e Export) bool { return e.Name == name })
}
