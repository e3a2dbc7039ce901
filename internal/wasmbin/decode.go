package wasmbin

import "fmt"

// Decode reads a module. It checks that the structure is whole and that every
// index outside the code names something; [Scanner] does so for the code.
func Decode(b []byte) (*Module, error) {
	if err := checkHeader(b); err != nil {
		return nil, err
	}
	d := &decoder{m: &Module{}, r: reader{b: b, pos: 8}}
	for d.r.left() > 0 {
		if err := d.section(); err != nil {
			return nil, err
		}
	}
	if f, c := len(d.m.Functions), len(d.m.Code); f != c {
		return nil, &Error{Offset: len(b), Where: SectionCode.String(),
			Found: fmt.Sprintf("%d bodies", c), Wanted: fmt.Sprintf("%d, one for each of the %s", f, SectionFunction)}
	}
	if n := d.m.DataCount; n != nil && int(*n) != len(d.m.Data) {
		return nil, &Error{Offset: len(b), Where: SectionDataCount.String(),
			Found: fmt.Sprintf("%d", *n), Wanted: fmt.Sprintf("%d, the number of data segments", len(d.m.Data))}
	}
	return d.m, nil
}

type decoder struct {
	m      *Module
	r      reader
	last   SectionID // the last one that is not custom
	types  []ValueType
	locals []LocalRun
	spaces spaces

	allLocals uint64 // declared so far
	elements  int    // of all segments so far
}

// spaces are the sizes of the index spaces as far as they are known.
type spaces struct{ functions, tables, memories, globals int }

func (d *decoder) section() error {
	start := d.r.pos
	d.r.where = ""
	id := SectionID(d.r.byte("a section"))
	d.r.where = id.String()
	size := d.r.u32("its size")
	body := d.r.bytes(int(size), "the whole section")
	if d.r.err != nil {
		return d.r.err
	}
	if id > SectionDataCount {
		found := id.String()
		if id == 13 {
			found = "a tag section (exception handling)"
		}
		return &Error{Offset: start, Found: found, Wanted: "a section of WebAssembly 2.0 (0 to 12)"}
	}
	if id != SectionCustom {
		if id.place() <= d.last.place() {
			return &Error{Offset: start, Found: id.String() + " after " + d.last.String(),
				Wanted: "each section once and in order"}
		}
		d.last = id
	}
	s := &reader{b: body, base: d.r.pos - len(body), where: id.String()}
	d.read(id, s)
	s.done()
	return s.err
}

func (d *decoder) read(id SectionID, r *reader) {
	switch id {
	case SectionCustom:
		d.readCustom(r)
	case SectionType:
		d.readTypes(r)
	case SectionImport:
		d.readImports(r)
	case SectionFunction:
		d.m.Functions = vector(r, 1, MaxFunctions, "functions", func(f *uint32) { *f = d.typeIndex(r) })
		d.spaces.functions += len(d.m.Functions)
	case SectionTable:
		d.m.Tables = vector(r, 3, MaxTables, "tables", func(t *TableType) { *t = readTableType(r) })
		d.spaces.tables += len(d.m.Tables)
	case SectionMemory:
		d.readMemories(r)
	case SectionGlobal:
		d.readGlobals(r)
	case SectionExport:
		d.readExports(r)
	case SectionStart:
		start := r.pos
		f := r.u32("a function")
		d.index(r, start, KindFunction, f)
		d.m.Start = &f
	case SectionElement:
		d.m.Elements = vector(r, 3, MaxElementSegments, "segments", func(e *Element) { d.readElement(r, e) })
	case SectionDataCount:
		n := r.u32("a number")
		d.m.DataCount = &n
	case SectionCode:
		d.readCode(r)
	case SectionData:
		d.m.Data = vector(r, 2, MaxDataSegments, "segments", func(s *Data) { d.readData(r, s) })
	}
}

// vector reads a length and as many items, at most most, of at least size bytes
// each.
func vector[T any](r *reader, size, most int, wanted string, read func(*T)) []T {
	start := r.pos
	n := r.count(size, wanted)
	if r.tooMany(start, uint64(n), wanted, most) {
		return nil
	}
	items := make([]T, n)
	for i := range items {
		if read(&items[i]); r.err != nil {
			return nil
		}
	}
	return items
}

// index refuses an index that names nothing.
func (d *decoder) index(r *reader, at int, k Kind, i uint32) {
	n := [...]int{d.spaces.functions, d.spaces.tables, d.spaces.memories, d.spaces.globals}
	if int(k) < len(n) && int64(i) >= int64(n[k]) {
		r.fail(at, fmt.Sprintf("%s %d", k, i), fmt.Sprintf("one of %d", n[k]))
	}
}

func (d *decoder) typeIndex(r *reader) uint32 {
	start := r.pos
	t := r.u32("a type")
	if int64(t) >= int64(len(d.m.Types)) {
		r.fail(start, fmt.Sprintf("type %d", t), fmt.Sprintf("one of %d", len(d.m.Types)))
	}
	return t
}

// readCustom keeps a custom section, with its name cut: what is left of one that
// long names nothing that anybody looks for.
func (d *decoder) readCustom(r *reader) {
	if r.tooMany(0, uint64(len(d.m.Custom)+1), "custom sections", MaxCustom) {
		return
	}
	name := string(cut(r.text("the name"), MaxLabel))
	d.m.Custom = append(d.m.Custom, Custom{Name: name, Data: r.bytes(r.left(), "data"), After: d.last})
}

func (d *decoder) readTypes(r *reader) {
	d.m.Types = vector(r, 3, MaxTypes, "types", func(t *FuncType) {
		start := r.pos
		if form := r.byte("a function type"); form != 0x60 {
			r.fail(start, fmt.Sprintf("form %#x", form), "a function type (0x60)")
		}
		t.Params = d.readValueTypes(r, MaxParams, "parameters")
		t.Results = d.readValueTypes(r, MaxResults, "results")
	})
}

// readValueTypes takes its slice out of one that all types share.
func (d *decoder) readValueTypes(r *reader, limit int, wanted string) []ValueType {
	start := r.pos
	n := r.count(1, wanted)
	from := len(d.types)
	if r.tooMany(start, uint64(n), wanted, limit) ||
		r.tooMany(start, uint64(from+n), "parameters and results of all types", MaxTypeValues) {
		return nil
	}
	for range n {
		d.types = append(d.types, readValueType(r))
	}
	return d.types[from:len(d.types):len(d.types)]
}

func readValueType(r *reader) ValueType {
	start := r.pos
	t := ValueType(r.byte("a value type"))
	if !isValue(t) {
		r.fail(start, t.String(), "a value type of WebAssembly 2.0")
	}
	return t
}

func readReferenceType(r *reader) ValueType {
	start := r.pos
	t := ValueType(r.byte("a reference type"))
	if !isReference(t) {
		r.fail(start, t.String(), "funcref or externref")
	}
	return t
}

func readLimits(r *reader) Limits {
	start := r.pos
	var l Limits
	switch flags := r.byte("limits"); flags {
	case 0:
	case 1:
		l.HasMax = true
	default:
		kind := "custom page sizes"
		switch flags {
		case 2, 3:
			kind = "shared memory: threads"
		case 4, 5, 6, 7:
			kind = "64-bit addresses: memory64"
		}
		r.fail(start, fmt.Sprintf("limits of form %#x (%s)", flags, kind), "form 0 or 1")
	}
	l.Min = r.u32("a minimum")
	if l.HasMax {
		if l.Max = r.u32("a maximum"); l.Max < l.Min {
			r.fail(start, fmt.Sprintf("maximum %d below minimum %d", l.Max, l.Min), "limits that can be met")
		}
	}
	return l
}

func readMemoryLimits(r *reader) Limits {
	const maxPages = 1 << 16
	start := r.pos
	l := readLimits(r)
	if l.Min > maxPages || l.Max > maxPages {
		r.fail(start, fmt.Sprintf("a memory of %d pages", max(l.Min, l.Max)), "at most 65536 (4 GiB)")
	}
	return l
}

func readTableType(r *reader) TableType {
	return TableType{Element: readReferenceType(r), Limits: readLimits(r)}
}

func readGlobalType(r *reader) GlobalType {
	g := GlobalType{Type: readValueType(r)}
	start := r.pos
	switch mut := r.byte("0 or 1"); mut {
	case 0:
	case 1:
		g.Mutable = true
	default:
		r.fail(start, fmt.Sprintf("mutability %#x", mut), "0 or 1")
	}
	return g
}

func (d *decoder) readImports(r *reader) {
	d.m.Imports = vector(r, 4, MaxImports, "imports", func(i *Import) {
		i.Module, i.Name = r.name("a module's name"), r.name("an import's name")
		start := r.pos
		i.Kind = Kind(r.byte("a kind"))
		switch i.Kind {
		case KindFunction:
			i.Function = d.typeIndex(r)
			d.spaces.functions++
		case KindTable:
			i.Table = readTableType(r)
			d.spaces.tables++
		case KindMemory:
			i.Memory = readMemoryLimits(r)
			d.oneMemory(r, start, 1)
		case KindGlobal:
			i.Global = readGlobalType(r)
			d.spaces.globals++
		default:
			r.fail(start, i.Kind.String(), "a function, table, memory or global (0 to 3)")
		}
	})
}

func (d *decoder) readMemories(r *reader) {
	d.m.Memories = vector(r, 2, MaxTables, "memories", func(l *Limits) {
		start := r.pos
		*l = readMemoryLimits(r)
		d.oneMemory(r, start, 1)
	})
}

func (d *decoder) oneMemory(r *reader, at, more int) {
	if d.spaces.memories += more; d.spaces.memories > 1 {
		r.fail(at, "a second memory (multi-memory)", "at most one")
	}
}

func (d *decoder) readGlobals(r *reader) {
	d.m.Globals = vector(r, 4, MaxGlobals, "globals", func(g *Global) {
		g.GlobalType = readGlobalType(r)
		g.Init = d.readExpr(r)
		d.spaces.globals++
	})
}

func (d *decoder) readExports(r *reader) {
	seen := map[string]bool{}
	d.m.Exports = vector(r, 3, MaxExports, "exports", func(e *Export) {
		start := r.pos
		e.Name = r.name("an export's name")
		if seen[e.Name] && r.err == nil {
			r.fail(start, fmt.Sprintf("a second export %q", Cut(e.Name, MaxLabel)), "each name once")
		}
		seen[e.Name] = true
		at := r.pos
		if e.Kind = Kind(r.byte("a kind")); e.Kind > KindGlobal {
			r.fail(at, e.Kind.String(), "a function, table, memory or global (0 to 3)")
		}
		at = r.pos
		e.Index = r.u32("an index")
		d.index(r, at, e.Kind, e.Index)
	})
}
