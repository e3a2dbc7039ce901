package wasmbin

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// NameSection is the name of the custom section with the module's, functions'
// and locals' names (WebAssembly specification, appendix 7.4).
const NameSection = "name"

// subsections of the name section
const (
	namesModule    = 0
	namesFunctions = 1
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

// Names is what a name section says of the module and its functions, each name
// cut to MaxLabel bytes. Locals and labels have names, too, which nobody reads
// here.
type Names struct {
	Module    string         // "" for none
	Functions []FunctionName // ascending by index, each once
}

// FunctionName is a name for the function of an index.
type FunctionName struct {
	Index uint32
	Name  string
}

// Names gives the names of the module's functions. As the specification demands
// of custom sections, a section that can't be read counts as absent, and so does
// a second one. What is named and not there, or out of order, is left out.
func (m *Module) Names() Names {
	var n Names
	functions := m.ImportedFunctions() + len(m.Functions)
	ok := eachSubsection(m.custom(NameSection), func(id byte, r *reader) {
		switch id {
		case namesModule:
			n.Module = string(cut(r.text("a name"), MaxLabel))
		case namesFunctions:
			next := int64(0)
			n.Functions = make([]FunctionName, 0, min(functions, r.left()/2))
			for range r.count(2, "names") {
				i := r.u32("a function")
				name := cut(r.text("a name"), MaxLabel)
				if int64(i) >= next && int64(i) < int64(functions) {
					next = int64(i) + 1
					n.Functions = append(n.Functions, FunctionName{i, string(name)})
				}
			}
		default:
			return
		}
		r.done()
	})
	if !ok {
		return Names{}
	}
	return n
}

// AppendNames appends the content of a name section.
func AppendNames(b []byte, n Names) []byte {
	if n.Module != "" {
		b = appendSized(append(b, namesModule), func(b []byte) []byte { return appendName(b, n.Module) })
	}
	if len(n.Functions) == 0 {
		return b
	}
	return appendSized(append(b, namesFunctions), func(b []byte) []byte {
		b = AppendU32(b, uint32(len(n.Functions)))
		for _, f := range n.Functions {
			b = appendName(AppendU32(b, f.Index), f.Name)
		}
		return b
	})
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

// Producer is one entry of the producers section (WebAssembly tool
// conventions): what made the module.
type Producer struct {
	Field   string // language, processed-by, sdk
	Name    string
	Version string
}

// Of the producers section only so much is of use.
const (
	maxProducers = 32
	maxProducer  = 64 // bytes of each part
)

// Producers lists what made the module, in the order written, the first of them;
// none where the section is absent or can't be read.
func (m *Module) Producers() []Producer {
	r := &reader{b: m.custom("producers"), where: "producers"}
	if r.left() == 0 {
		return nil
	}
	var all []Producer
	for range r.count(2, "fields") {
		field := r.part()
		for range r.count(2, "values") {
			p := Producer{field, r.part(), r.part()}
			if len(all) < maxProducers {
				all = append(all, p)
			}
		}
	}
	if r.err != nil {
		return nil
	}
	return all
}

// part reads a text of the producers section.
func (r *reader) part() string { return string(cut(r.text("a text"), maxProducer)) }

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
	lib := func(f FunctionName) bool { return strings.HasPrefix(f.Name, "~lib/") }
	switch {
	case sdk == "Zig", sdk == "AssemblyScript": // stripped, they leave nothing else
		return sdk
	case slices.ContainsFunc(m.Names().Functions, lib):
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
