package files

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestStore(t *testing.T) {
	s := &Store{Limit: 2 * cost("a", 10)}
	at := time.Unix(1, 0)
	for _, c := range []struct {
		name string
		size int
		want error
	}{
		{"b", 10, nil}, {"/a", 10, nil}, {"a", 9, nil}, {"a", 11, ErrFull}, {"c", 0, ErrFull},
		{"", 0, ErrName}, {"/", 0, ErrName}, {"a/b", 0, ErrName}, {"a\n", 0, ErrName},
	} {
		if err := s.Put(c.name, make([]byte, c.size), at); !errors.Is(err, c.want) {
			t.Errorf("%q of %d bytes: found %v, wanted %v", c.name, c.size, err, c.want)
		}
	}
	for name, want := range map[string]int{"/a": 10, "b": 11, "c": 1 - cost("c", 0)} {
		if got := s.Room(name); got != want {
			t.Errorf("%s: found room for %d bytes, wanted %d", name, got, want)
		}
	}
	list := s.List()
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Errorf("found %v", list)
	}
	if f, err := s.Get("/a"); err != nil || len(f.Data) != 9 || !f.Time.Equal(at) {
		t.Errorf("found %v, %v", f, err)
	}
	if err := s.Delete("a"); err != nil {
		t.Error(err)
	}
	if err := s.Delete("a"); !errors.Is(err, ErrNone) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := s.Get("a"); !errors.Is(err, ErrNone) {
		t.Errorf("got what is deleted: %v", err)
	}
}

func TestFill(t *testing.T) {
	s := &Store{Limit: 2 * cost("a", 10), Files: map[string]string{"a": "text"}}
	if err := s.Fill(); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Get("a"); err != nil || string(f.Data) != "text" {
		t.Errorf("found %v, %v", f, err)
	}
	s.Files["a"] = string(make([]byte, 1000))
	if err := s.Fill(); !errors.Is(err, ErrFull) || err.Error() != "config.files: a: no space left" {
		t.Errorf("found %v", err)
	}
}

func TestTake(t *testing.T) {
	s := &Store{Limit: cost("a", 10)}
	for text, want := range map[string]error{"0123456789": nil, "0123456789a": ErrFull} {
		if err := s.Take("a", strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%s: found %v, wanted %v", text, err, want)
		}
	}
	if err := s.Take("b", strings.NewReader("")); !errors.Is(err, ErrFull) { // there is no room even for its name
		t.Errorf("found %v", err)
	}
	if err := s.Take("a", iotest.ErrReader(ErrNone)); !errors.Is(err, ErrNone) {
		t.Errorf("found %v", err)
	}
	f, err := s.Get("a")
	if err != nil || string(f.Data) != "0123456789" {
		t.Errorf("found %q, %v", f.Data, err)
	}
	f.Time = time.Unix(0, 0)
	if text := f.String(); text != "-rw-r--r-- 1 ftp ftp 10 Jan  1 00:00 a" {
		t.Errorf("found %q", text)
	}
}
