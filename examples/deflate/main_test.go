package main

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// squeezed is a zlib stream of some bytes.
func squeezed(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	f := &filter{settings: settings{Level: 6}}
	if err := f.compress(&b, bytes.NewReader(text)); !errors.Is(err, io.EOF) {
		t.Fatalf("found %v, wanted io.EOF", err)
	}
	return b.Bytes()
}

// TestFlushed: each piece can be read when it has been written.
func TestFlushed(t *testing.T) {
	r, w := io.Pipe()
	out := make(chan error, 1)
	f := &filter{settings: settings{Level: 6}}
	pieces, in := io.Pipe()
	go func() {
		err := f.compress(w, pieces)
		w.Close()
		out <- err
	}()
	var z io.Reader
	for _, piece := range []string{"one", "two", "three"} {
		go func() { _, _ = io.WriteString(in, piece) }() // it ends when it is taken
		if z == nil {
			var err error
			if z, err = zlib.NewReader(r); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, len(piece))
		if _, err := io.ReadFull(z, b); err != nil || string(b) != piece {
			t.Fatalf("found %q, %v, wanted %q", b, err, piece)
		}
	}
	in.Close()
	if n, err := z.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("found %d bytes, %v, wanted io.EOF", n, err)
	}
	r.Close()
	if err := <-out; !errors.Is(err, io.EOF) {
		t.Errorf("found %v, wanted io.EOF", err)
	}
}

// TestRatio: more than config.ratio allows ends the stream, soon.
func TestRatio(t *testing.T) {
	bomb := squeezed(t, make([]byte, 2<<20))
	for ratio, want := range map[int64]error{0: io.EOF, 2000: io.EOF, 100: errRatio} {
		f := &filter{settings: settings{Ratio: ratio}}
		var b bytes.Buffer
		err := f.decompress(&b, iotest.HalfReader(bytes.NewReader(bomb)))
		if !errors.Is(err, want) || want == errRatio && b.Len() > free+int(ratio)*(len(bomb)+1)+2*piece {
			t.Errorf("ratio %d: found %v behind %d bytes, wanted %v", ratio, err, b.Len(), want)
		}
	}
}

// FuzzDecompress: whatever a client sends is an empty stream, a whole one, or an error; what
// is compressed comes back, however it is cut.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(squeezed(f, []byte("hello, hello, hello")))
	f.Fuzz(func(t *testing.T, sent []byte) {
		l := &filter{settings: settings{Ratio: 1}}
		var b bytes.Buffer
		if err := l.decompress(&b, bytes.NewReader(sent)); err == nil {
			t.Error("found no error, wanted io.EOF at least")
		}
		if b.Len() > free+len(sent)+piece {
			t.Errorf("%d bytes became %d", len(sent), b.Len())
		}
		b.Reset()
		err := l.decompress(&b, iotest.HalfReader(bytes.NewReader(squeezed(t, sent))))
		if !errors.Is(err, io.EOF) || !bytes.Equal(b.Bytes(), sent) {
			t.Errorf("found %d bytes of %d, %v", b.Len(), len(sent), err)
		}
	})
}
