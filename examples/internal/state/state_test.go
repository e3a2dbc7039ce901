package state

import (
	"encoding/binary"
	"errors"
	"testing"
)

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x02ab\x07\x03rest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Reader{Rest: b}
		s := r.Bytes()
		if r.Err != nil {
			if !errors.Is(r.Err, ErrShort) || s != nil {
				t.Fatal(s, r.Err)
			}
			return
		}
		if len(s)+len(r.Rest) >= len(b) {
			t.Fatalf("found %d and %d bytes in %d", len(s), len(r.Rest), len(b))
		}
		again := Reader{Rest: AppendBytes(nil, s)}
		if got := again.Bytes(); again.Err != nil || string(got) != string(s) {
			t.Fatalf("%q became %q, %v", s, got, again.Err)
		}
	})
}

func TestNumbers(t *testing.T) {
	r := Reader{Rest: binary.AppendUvarint(binary.AppendVarint(binary.AppendUvarint(nil, 7), -7), 8)}
	if n, i := r.Count(7), r.Int(); n != 7 || i != -7 || r.Err != nil {
		t.Errorf("found %d, %d, %v", n, i, r.Err)
	}
	if n := r.Count(7); n != 0 || r.Err == nil || errors.Is(r.Err, ErrShort) {
		t.Errorf("8 is more than 7: found %d, %v", n, r.Err)
	}
	for name, read := range map[string]func(*Reader){
		"uint":  func(r *Reader) { r.Uint() },
		"int":   func(r *Reader) { r.Int() },
		"bytes": func(r *Reader) { r.Bytes() },
	} {
		if r := (Reader{}); true {
			if read(&r); !errors.Is(r.Err, ErrShort) {
				t.Errorf("%s of nothing: %v", name, r.Err)
			}
		}
	}
	if Version(1, 1) != nil || Version(2, 1) == nil {
		t.Error("versions")
	}
}
