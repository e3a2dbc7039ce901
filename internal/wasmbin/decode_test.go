package wasmbin

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// head is a module's magic number and version.
const head = "\x00asm\x01\x00\x00\x00"

func TestDecodeRefusals(t *testing.T) {
	tests := []struct {
		name, in string
		offset   int
		found    string
		wanted   string
	}{
		{"empty", "", 0, "an empty file", "WebAssembly module"},
		{"text", "(module)", 0, "WebAssembly text", "00 61 73 6d"},
		{"text after blanks", " \n(module)", 0, "wat2wasm", "00 61 73 6d"},
		{"prose", "hello there", 0, "text", "00 61 73 6d"},
		{"elf", "\x7fELF\x02\x01", 0, "native program", "00 61 73 6d"},
		{"bytes", "\xff\xfe\x00\x01\x02", 0, "bytes ff fe 00 01", "00 61 73 6d"},
		{"magic cut", "\x00as", 3, "the end", "magic"},
		{"version cut", "\x00asm\x01\x00", 6, "the end", "version"},
		{"component", "\x00asm\x0d\x00\x01\x00", 4, "component", "core module"},
		{"version", "\x00asm\x02\x00\x00\x00", 4, "version 02 00 00 00", "01 00 00 00"},
		{"unknown section", head + "\x0d\x00", 8, "exception handling", "0 to 12"},
		{"section cut", head + "\x01\x05\x01", 10, "the end after 1 of 5", "whole section"},
		{"section too long", head + "\x01\x02\x00\x00", 11, "1 bytes more", "end of the section"},
		{"section size", head + "\x01\xff\xff\xff\xff\xff", 9, "more than 32 bits", "its size"},
		{"order", head + "\x03\x01\x00\x01\x01\x00", 11, "type section after function section", "once and in order"},
		{"twice", head + "\x01\x01\x00\x01\x01\x00", 11, "type section after type section", "once"},
		{"count", head + "\x01\x05\xff\xff\xff\xff\x0f", 10, "4294967295 types in 0 bytes", "fits"},
		{"type form", head + "\x01\x04\x01\x5f\x00\x00", 11, "form 0x5f", "0x60"},
		{"value type", head + "\x01\x05\x01\x60\x01\x11\x00", 13, "type 0x11", "value type"},
		{"type index", head + "\x03\x02\x01\x00", 11, "type 0", "one of 0"},
		{"no bodies", head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", 18, "0 bodies", "1"},
		{"export", head + "\x07\x05\x01\x01a\x00\x03", 14, "function 3", "one of 0"},
		{"start", head + "\x08\x01\x00", 10, "function 0", "one of 0"},
		{"limits", head + "\x05\x03\x01\x03\x01", 11, "form 0x3 (shared memory: threads)", "form 0 or 1"},
		{"memory64", head + "\x05\x03\x01\x04\x01", 11, "memory64", "form 0 or 1"},
		{"limits crossed", head + "\x05\x04\x01\x01\x02\x01", 11, "maximum 1 below minimum 2", "met"},
		{"pages", head + "\x05\x05\x01\x00\x81\x80\x04", 11, "65537 pages", "65536"},
		{"two memories", head + "\x05\x05\x02\x00\x00\x00\x00", 13, "second memory", "one"},
		{"extended constant", head + "\x06\x09\x01\x7f\x00\x41\x01\x41\x02\x6a\x0b", 15, "instruction 0x41",
			"end of the expression"},
		{"constant", head + "\x06\x05\x01\x7f\x00\x00\x0b", 13, "instruction 0x00", "constant"},
		{"locals", head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7f\x0b",
			23, "4294967295 locals", "50000"},
		{"data count", head + "\x0c\x01\x01", 11, "1", "0, the number of data segments"},
		{"name", head + "\x00\x02\x01\xff", 10, "not UTF-8", "name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode([]byte(tt.in))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Decode gave %v, wanted an *Error", err)
			}
			if e.Offset != tt.offset || !strings.Contains(e.Found, tt.found) || !strings.Contains(e.Wanted, tt.wanted) {
				t.Errorf("Decode gave %#v", e)
			}
		})
	}
}

func TestSignedNumbers(t *testing.T) {
	tests := []struct {
		in   string
		bits int
		want int64
		ok   bool
	}{
		{"\x00", 32, 0, true},
		{"\x7f", 32, -1, true},
		{"\xc0\x00", 32, 64, true},
		{"\xff\xff\xff\xff\x07", 32, 1<<31 - 1, true},
		{"\x80\x80\x80\x80\x78", 32, -1 << 31, true},
		{"\x80\x80\x80\x80\x70", 32, 0, false},
		{"\xff\xff\xff\xff\x0f", 32, 0, false},
		{"\x80\x80\x80\x80\x80\x00", 32, 0, false},
		{"\xff\xff\xff\xff\x0f", 33, 1<<32 - 1, true},
		{"\x80\x80\x80\x80\x70", 33, -1 << 32, true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 64, 1<<63 - 1, true},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 64, -1 << 63, true},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 64, 0, false},
		{"\x80", 64, 0, false},
	}
	for _, tt := range tests {
		r := &reader{b: []byte(tt.in)}
		got := r.sleb(tt.bits, "a number")
		if ok := r.err == nil; ok != tt.ok || ok && got != tt.want {
			t.Errorf("sleb(% x, %d) = %d, %v; wanted %d, %t", tt.in, tt.bits, got, r.err, tt.want, tt.ok)
		}
		if tt.ok {
			if again := (&reader{b: AppendS64(nil, tt.want)}).sleb(64, ""); again != tt.want {
				t.Errorf("AppendS64(%d) reads back as %d", tt.want, again)
			}
		}
	}
}

func TestRefusedInstructions(t *testing.T) {
	tests := []struct{ name, code, found string }{
		{"tail call", "\x12\x00\x0b", "instruction 0x12 (tail calls)"},
		{"atomic", "\xfe\x03\x00\x0b", "instruction 0xfe (threads)"},
		{"try_table", "\x1f\x40\x00\x0b", "instruction 0x1f (exception handling)"},
		{"relaxed simd", "\xfd\x80\x02\x0b", "instruction fd 80 02 (relaxed SIMD)"},
		{"simd gap", "\xfd\x9a\x01\x0b", "instruction 0xfd 154,"},
		{"misc", "\xfc\x12\x0b", "instruction fc 12"},
		{"label", "\x0c\x01\x0b", "label 1"},
		{"label in a table", "\x41\x00\x0e\x01\x00\x02\x0b", "label 2"},
		{"function", "\x10\x07\x0b", "function 7"},
		{"local", "\x20\x00\x0b", "local 0"},
		{"global", "\x23\x00\x0b", "global 0"},
		{"no end", "\x01", "the end of the body"},
		{"after the end", "\x0b\x01", "instructions"},
		{"block type", "\x02\x41\x0b\x0b", "block type -63"},
		{"alignment", "\x41\x00\x28\x40\x00\x00\x0b", "a memory index (multi-memory)"},
		{"memory", "\x3f\x01\x0b", "memory 1 (multi-memory)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &Module{Types: []FuncType{{}}, Functions: []uint32{0}, Code: []Code{{Body: []byte(tt.code)}}}
			s := NewScanner(m)
			s.Reset(&m.Code[0], 0)
			for in := (Instr{}); s.Next(&in); {
			}
			if err := s.Err(); err == nil || !strings.Contains(err.Error(), "found "+tt.found) {
				t.Errorf("scanning gave %v, wanted one that found %s", err, tt.found)
			}
		})
	}
}

// corpus gives the modules of wazero's specification tests.
func corpus(t testing.TB) []string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Skipf("the wazero module is not at hand: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)),
		"internal/integration_test/spectest/v[12]/testdata/*.wasm"))
	if err != nil || len(files) < 5000 {
		t.Fatalf("found %d specification modules (%v), wanted more than 5000", len(files), err)
	}
	return files
}

// TestSpecModulesComeBack decodes and encodes each module of the specification
// tests, twice: what we write reads as what we read.
func TestSpecModulesComeBack(t *testing.T) {
	refused := 0
	for _, file := range corpus(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b)
		if err != nil {
			refused++
			continue
		}
		if err := scanAll(m); err != nil {
			refused++
			continue
		}
		first := m.Encode()
		again, err := Decode(first)
		if err != nil {
			t.Errorf("%s: what we wrote: %v", filepath.Base(file), err)
			continue
		}
		if !bytes.Equal(first, again.Encode()) {
			t.Errorf("%s: the second encoding differs from the first", filepath.Base(file))
		}
	}
	t.Logf("%d refused", refused)
}

func scanAll(m *Module) error {
	s := NewScanner(m)
	for i := range m.Code {
		s.Reset(&m.Code[i], len(m.Types[m.Functions[i]].Params))
		for in := (Instr{}); s.Next(&in); {
			if in.Op == OpBrTable {
				s.EachLabel(&in, func(uint32) {})
			}
		}
		if s.Err() != nil {
			return s.Err()
		}
	}
	return nil
}

func FuzzDecode(f *testing.F) {
	for i, file := range corpus(f) {
		if i%40 == 0 {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		m.Toolchain()
		m.Producers()
		names := m.Names()
		for i, n := range names.Functions {
			if len(n.Name) > MaxLabel || i > 0 && n.Index <= names.Functions[i-1].Index {
				t.Fatalf("names of functions: %d is %+v", i, n)
			}
		}
		m.Custom = []Custom{{Name: NameSection, Data: AppendNames(nil, names)}}
		if again := m.Names(); again.Module != names.Module || !slices.Equal(again.Functions, names.Functions) {
			t.Fatalf("names %+v come back as %+v", names, again)
		}
		if scanAll(m) != nil {
			return
		}
		again, err := Decode(m.Encode())
		if err != nil {
			t.Fatalf("what we wrote: %v", err)
		}
		if !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatal("the second encoding differs from the first")
		}
	})
}
