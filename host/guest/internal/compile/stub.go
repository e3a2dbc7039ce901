package compile

import (
	"github.com/wirehost/wirehost/internal/wasmbin"
)

// Segment is what linear memory holds from an address on, when an instance starts.
type Segment struct {
	Address uint32
	Bytes   []byte
}

// wasmPage is the unit of linear memory.
const wasmPage = 64 << 10

// stubOf is a module without its code: each body traps. The key makes it another
// one for each module, as the code would. Where images are of use here, its data is not
// in the stub. It changes m.
func stubOf(m *wasmbin.Module, key string) (stub []byte, image []Segment) {
	body := []byte{byte(wasmbin.OpUnreachable), byte(wasmbin.OpEnd)}
	for i := range m.Code {
		m.Code[i] = wasmbin.Code{Body: body}
	}
	kept := []wasmbin.Custom{{Name: "wirehost.key", Data: []byte(key)}}
	for _, c := range m.Custom {
		if c.Name == wasmbin.NameSection {
			kept = append(kept, c)
		}
	}
	m.Custom = kept
	if m.DataCount == nil && len(m.Memories) == 1 { // the code names no segment
		m.Data = joined(m.Data)
		if image = imageOf(m.Data, uint64(m.Memories[0].Min)*wasmPage); image != nil {
			m.Data = nil
		}
	}
	return m.Encode(), image
}

// imageOf is the data of a module whose memory has so many bytes at its start; nil
// where wazero is to copy it.
func imageOf(data []wasmbin.Data, memory uint64) []Segment {
	var image []Segment
	for _, d := range data {
		at, ok := d.Offset.Constant()
		if !ok || d.Passive || at+uint64(len(d.Init)) > memory {
			return nil
		}
		image = append(image, Segment{uint32(at), d.Init})
	}
	if !HasImages {
		return nil
	}
	return image
}

// joinGap is how many zero bytes are written so that two data segments become
// one: wazero keeps some 170 bytes for a segment, and 24 more in each instance.
// Go's linker leaves zeros out, and makes 8,000 segments of 2 MB (RATIONALE.md).
const joinGap = 128

// joined joins data segments that follow one another, with small gaps: memory is
// zero before them.
func joined(data []wasmbin.Data) []wasmbin.Data {
	var list []wasmbin.Data
	var last *wasmbin.Data // of list, and its start
	var start uint64
	for _, d := range data {
		at, ok := d.Offset.Constant()
		if !ok || d.Passive {
			return data
		}
		if last != nil {
			end := start + uint64(len(last.Init))
			if at >= end && at-end <= joinGap {
				last.Init = append(append(last.Init, make([]byte, at-end)...), d.Init...)
				continue
			}
		}
		d.Init = append([]byte{}, d.Init...) // what it was is a part of the module
		list = append(list, d)
		last, start = &list[len(list)-1], at
	}
	return list
}
