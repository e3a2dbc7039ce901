package wasmbin

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Error says what is wrong with a binary, and where.
type Error struct {
	Offset int    // bytes from the start of the module
	Where  string // section or part, "" at the head of the file
	Found  string
	Wanted string
}

func (e *Error) Error() string {
	where := ""
	if e.Where != "" {
		where = e.Where + ": "
	}
	return fmt.Sprintf("wasm: byte %#x: %sfound %s, wanted %s", e.Offset, where, e.Found, e.Wanted)
}

// checkHeader refuses what is not a core module of version 1, and names what
// it seems to be: people hand over text files, components and archives.
func checkHeader(b []byte) error {
	const magic = "\x00asm"
	fail := func(offset int, found, wanted string) error {
		return &Error{Offset: offset, Found: found, Wanted: wanted}
	}
	if len(b) == 0 {
		return fail(0, "an empty file", "a WebAssembly module")
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		if len(b) < 4 && bytes.HasPrefix([]byte(magic), b) {
			return fail(len(b), "the end of the file", "the magic number 00 61 73 6d")
		}
		return fail(0, kindOfFile(b), "a WebAssembly module, which starts with 00 61 73 6d")
	}
	if len(b) < 8 {
		return fail(len(b), "the end of the file", "the version 01 00 00 00")
	}
	switch v := [4]byte(b[4:8]); v {
	case [4]byte{1, 0, 0, 0}:
		return nil
	case [4]byte{13, 0, 1, 0}:
		return fail(4, "a component (component model, 0d 00 01 00)",
			"a core module, version 01 00 00 00: build for a core target such as wasm32-unknown-unknown or wasip1")
	default:
		return fail(4, fmt.Sprintf("version % x", v[:]), "version 01 00 00 00")
	}
}

func kindOfFile(b []byte) string {
	head := b[:min(len(b), 64)]
	kinds := []struct{ prefix, kind string }{
		{"\x7fELF", "a native program (ELF)"},
		{"\x1f\x8b", "a gzip archive"},
		{"PK\x03\x04", "a zip archive"},
		{"BC\xc0\xde", "LLVM bitcode"},
		{"!<arch>\n", "a static library"},
		{"#!", "a script"},
	}
	for _, k := range kinds {
		if bytes.HasPrefix(head, []byte(k.prefix)) {
			return k.kind
		}
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("(module")), bytes.HasPrefix(text, []byte(";;")),
		bytes.HasPrefix(text, []byte("(;")):
		return "WebAssembly text (assemble it with wat2wasm)"
	case isText(head):
		return "text" // not which: who names a file need not be allowed to read it
	default:
		return fmt.Sprintf("bytes % x", head[:min(len(head), 4)])
	}
}

func isText(b []byte) bool {
	if i := len(b) - utf8.UTFMax; i > 0 {
		b = b[:i] // the cut may be inside a character
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return utf8.Valid(b)
}
