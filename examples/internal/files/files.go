// Package files keeps files in memory, with a limit, for protocols that transfer them: a
// plugin has no disk.
package files

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors of a Store.
var (
	ErrNone = errors.New("no such file")
	ErrFull = errors.New("no space left")
	ErrName = errors.New("not a name for a file")
)

// File is one. Its bytes do not change; a new version is another File.
type File struct {
	Name string
	Data []byte
	Time time.Time // when it was stored
}

// String is a line for a listing, as ls has it.
func (f File) String() string {
	return fmt.Sprintf("-rw-r--r-- 1 ftp ftp %d %s %s", len(f.Data), f.Time.UTC().Format("Jan _2 15:04"), f.Name)
}

// Store has files. Goroutines may share it. Its fields are a part of a plugin's config section.
type Store struct {
	Files map[string]string `json:"files"`      // that Fill puts in: text by name
	Limit int               `json:"max_memory"` // bytes of all; 0: nothing can be stored

	mu    sync.Mutex
	files map[string]File
	bytes int
}

// cost is what a file takes, in bytes.
func cost(name string, size int) int { return len(name) + size + 128 }

// clean takes the slash off the front of a name: there is one folder.
func clean(name string) (string, bool) {
	name = strings.TrimPrefix(name, "/")
	return name, name != "" && len(name) <= 255 && !strings.ContainsFunc(name, func(c rune) bool {
		return c < ' ' || c == '/' || c == 0x7f
	})
}

// Fill puts in what the configuration has.
func (s *Store) Fill() error {
	for name, text := range s.Files {
		if err := s.Put(name, []byte(text), time.Now()); err != nil {
			return fmt.Errorf("config.files: %s: %w", name, err)
		}
	}
	return nil
}

// Get finds a file.
func (s *Store) Get(name string) (File, error) {
	name, _ = clean(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[name]
	if !ok {
		return f, ErrNone
	}
	return f, nil
}

// Put stores a file, in place of one that has its name. data is the store's from then on.
func (s *Store) Put(name string, data []byte, at time.Time) error {
	name, ok := clean(name)
	if !ok {
		return ErrName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(data) > s.room(name) {
		return ErrFull
	}
	s.remove(name)
	if s.files == nil {
		s.files = map[string]File{}
	}
	s.bytes += cost(name, len(data))
	s.files[name] = File{name, data, at}
	return nil
}

// Take stores what r has, to its end.
func (s *Store) Take(name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, int64(s.Room(name))+1))
	if err != nil {
		return err
	}
	return s.Put(name, data, time.Now())
}

// Room is how many bytes a file of this name may have that is stored now; below 0 is none.
func (s *Store) Room(name string) int {
	name, _ = clean(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room(name)
}

func (s *Store) room(name string) int {
	room := s.Limit - s.bytes - cost(name, 0)
	if old, ok := s.files[name]; ok {
		room += cost(name, len(old.Data))
	}
	return room
}

// remove takes a file away, and tells whether it was there.
func (s *Store) remove(name string) bool {
	f, ok := s.files[name]
	if ok {
		s.bytes -= cost(name, len(f.Data))
		delete(s.files, name)
	}
	return ok
}

// Delete takes a file away.
func (s *Store) Delete(name string) error {
	name, _ = clean(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.remove(name) {
		return ErrNone
	}
	return nil
}

// List has all files, by name.
func (s *Store) List() []File {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]File, 0, len(s.files))
	for _, f := range s.files {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return list
}
