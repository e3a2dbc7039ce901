package script

import "sync"

// period is after how many bytes Pattern's stream comes again.
const period = 64 << 10

// twice is the stream's period, twice.
var twice = sync.OnceValue(func() []byte {
	p := make([]byte, 2*period)
	for at := range p {
		p[at] = byte(at>>2*0x9d>>(at&3*2) + at)
	}
	return p
})

// Pattern is the n bytes at offset of an endless stream in which every four
// bytes differ from their neighbours, so that a shift or a loss shows. They are
// to be read only.
func Pattern(offset, n int) []byte {
	table := twice()[offset%period:]
	if n <= period {
		return table[:n:n]
	}
	p := make([]byte, n)
	for k := 0; k < n; k += period {
		copy(p[k:], table[:period])
	}
	return p
}
