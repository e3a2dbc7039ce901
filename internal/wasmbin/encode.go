package wasmbin

// AppendU32 appends an unsigned LEB128.
func AppendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// AppendS64 appends a signed LEB128, for immediates of i32 and i64 alike and
// for block types.
func AppendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte {
	return append(AppendU32(b, uint32(len(s))), s...)
}

func appendTypes(b []byte, types []ValueType) []byte {
	b = AppendU32(b, uint32(len(types)))
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

func appendLimits(b []byte, l Limits) []byte {
	if !l.HasMax {
		return AppendU32(append(b, 0), l.Min)
	}
	return AppendU32(AppendU32(append(b, 1), l.Min), l.Max)
}

func appendTable(b []byte, t TableType) []byte {
	return appendLimits(append(b, byte(t.Element)), t.Limits)
}

func appendGlobalType(b []byte, g GlobalType) []byte {
	mut := byte(0)
	if g.Mutable {
		mut = 1
	}
	return append(b, byte(g.Type), mut)
}

func appendExpr(b []byte, e Expr) []byte {
	switch e.Op {
	case OpGlobalGet, OpRefFunc:
		b = AppendU32(append(b, byte(e.Op)), e.Index)
	default:
		b = append(b, e.Raw...)
	}
	return append(b, byte(OpEnd))
}

// Encode writes the module. Sections that would be empty are left out, and
// custom sections stand where they stood.
func (m *Module) Encode() []byte {
	size := 1 << 10
	for i := range m.Code {
		size += len(m.Code[i].Body) + 16
	}
	for i := range m.Data {
		size += len(m.Data[i].Init) + 16
	}
	for i := range m.Custom {
		size += len(m.Custom[i].Data) + 64
	}
	b := append(make([]byte, 0, size), "\x00asm\x01\x00\x00\x00"...)
	order := [...]SectionID{SectionCustom, SectionType, SectionImport, SectionFunction, SectionTable, SectionMemory,
		SectionGlobal, SectionExport, SectionStart, SectionElement, SectionDataCount, SectionCode, SectionData}
	for _, id := range order {
		b = m.appendSection(b, id)
		for i := range m.Custom {
			if c := &m.Custom[i]; c.After == id {
				b = appendSized(append(b, byte(SectionCustom)), func(b []byte) []byte {
					return append(appendName(b, c.Name), c.Data...)
				})
			}
		}
	}
	return b
}

// appendSized appends what write makes behind its length, of which it keeps
// room for up to five bytes.
func appendSized(b []byte, write func([]byte) []byte) []byte {
	const room = 5
	start := len(b)
	b = write(append(b, make([]byte, room)...))
	size := len(b) - start - room
	head := AppendU32(b[start:start], uint32(size))
	n := copy(b[start+len(head):], b[start+room:])
	return b[:start+len(head)+n]
}

func (m *Module) appendSection(b []byte, id SectionID) []byte {
	n := m.items(id)
	if n == 0 {
		return b
	}
	return appendSized(append(b, byte(id)), func(b []byte) []byte {
		switch id {
		case SectionStart:
			return AppendU32(b, *m.Start)
		case SectionDataCount:
			return AppendU32(b, *m.DataCount)
		}
		b = AppendU32(b, uint32(n))
		for i := range n {
			b = m.appendItem(b, id, i)
		}
		return b
	})
}

// items is the number of items that a section holds.
func (m *Module) items(id SectionID) int {
	switch id {
	case SectionType:
		return len(m.Types)
	case SectionImport:
		return len(m.Imports)
	case SectionFunction:
		return len(m.Functions)
	case SectionTable:
		return len(m.Tables)
	case SectionMemory:
		return len(m.Memories)
	case SectionGlobal:
		return len(m.Globals)
	case SectionExport:
		return len(m.Exports)
	case SectionElement:
		return len(m.Elements)
	case SectionCode:
		return len(m.Code)
	case SectionData:
		return len(m.Data)
	case SectionStart:
		if m.Start != nil {
			return 1
		}
	case SectionDataCount:
		if m.DataCount != nil {
			return 1
		}
	}
	return 0
}

func (m *Module) appendItem(b []byte, id SectionID, i int) []byte {
	switch id {
	case SectionType:
		b = append(b, 0x60)
		return appendTypes(appendTypes(b, m.Types[i].Params), m.Types[i].Results)
	case SectionImport:
		return appendImport(b, &m.Imports[i])
	case SectionFunction:
		return AppendU32(b, m.Functions[i])
	case SectionTable:
		return appendTable(b, m.Tables[i])
	case SectionMemory:
		return appendLimits(b, m.Memories[i])
	case SectionGlobal:
		return appendExpr(appendGlobalType(b, m.Globals[i].GlobalType), m.Globals[i].Init)
	case SectionExport:
		e := &m.Exports[i]
		return AppendU32(append(appendName(b, e.Name), byte(e.Kind)), e.Index)
	case SectionElement:
		return appendElement(b, &m.Elements[i])
	case SectionCode:
		return appendCode(b, &m.Code[i])
	default:
		return appendData(b, &m.Data[i])
	}
}

func appendImport(b []byte, i *Import) []byte {
	b = append(appendName(appendName(b, i.Module), i.Name), byte(i.Kind))
	switch i.Kind {
	case KindFunction:
		return AppendU32(b, i.Function)
	case KindTable:
		return appendTable(b, i.Table)
	case KindMemory:
		return appendLimits(b, i.Memory)
	default:
		return appendGlobalType(b, i.Global)
	}
}

func appendElement(b []byte, e *Element) []byte {
	b = AppendU32(b, e.flags)
	if e.Mode == ElementActive {
		if e.flags&2 != 0 {
			b = AppendU32(b, e.Table)
		}
		b = appendExpr(b, e.Offset)
	}
	if e.flags&4 == 0 {
		if e.flags&3 != 0 {
			b = append(b, 0)
		}
		b = AppendU32(b, uint32(len(e.Functions)))
		for _, f := range e.Functions {
			b = AppendU32(b, f)
		}
		return b
	}
	if e.flags&3 != 0 {
		b = append(b, byte(e.Type))
	}
	b = AppendU32(b, uint32(len(e.Exprs)))
	for _, x := range e.Exprs {
		b = appendExpr(b, x)
	}
	return b
}

func appendCode(b []byte, c *Code) []byte {
	return appendSized(b, func(b []byte) []byte {
		b = AppendU32(b, uint32(len(c.Locals)))
		for _, run := range c.Locals {
			b = append(AppendU32(b, run.Count), byte(run.Type))
		}
		return append(b, c.Body...)
	})
}

func appendData(b []byte, d *Data) []byte {
	b = AppendU32(b, d.flags)
	if d.flags == 2 {
		b = AppendU32(b, d.Memory)
	}
	if !d.Passive {
		b = appendExpr(b, d.Offset)
	}
	return append(AppendU32(b, uint32(len(d.Init))), d.Init...)
}
