package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	moduleSuffix = ".wasm"
	recordSuffix = ".json"
	newPrefix    = ".new-"
	// abandoned is the age from which a file that was to be kept is nobody's any more.
	abandoned = 24 * time.Hour
)

// store is a folder of modules by their digest, and of records by their source. Several
// processes may use one: files are renamed into their places. nil keeps nothing.
type store struct {
	dir  string
	size int64
}

// record is what came from a source last.
type record struct {
	Source    string `json:"source"` // as Module has it
	SHA256    string `json:"sha256"` // of the module
	ETag      string `json:"etag,omitempty"`
	Signature string `json:"signature,omitempty"` // "" = none was there, or asked for
}

func (r record) signature() []byte {
	if r.Signature == "" {
		return nil
	}
	return []byte(r.Signature)
}

func sumOf(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func (s *store) recordFile(source string) string {
	return filepath.Join(s.dir, sumOf(source)+recordSuffix)
}
func (s *store) moduleFile(sum string) string { return filepath.Join(s.dir, sum+moduleSuffix) }

// find tells what is kept for a request: a module that is whole.
func (s *store) find(q Request) (record, bool) {
	var r record
	if s == nil {
		return r, false
	}
	text, err := os.ReadFile(s.recordFile(q.Source))
	if err != nil || json.Unmarshal(text, &r) != nil || len(r.SHA256) != 2*sha256.Size {
		return record{}, false
	}
	if q.SHA256 != "" && !strings.EqualFold(q.SHA256, r.SHA256) {
		return record{}, false
	}
	return r, s.whole(r.SHA256)
}

// whole tells whether a module is there, and has its digest still.
func (s *store) whole(sum string) bool {
	f, err := os.Open(s.moduleFile(sum))
	if err != nil {
		return false
	}
	defer f.Close() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil || hex.EncodeToString(h.Sum(nil)) != sum {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(s.moduleFile(sum), now, now) // for trim, which does without
	return true
}

// module is what a record stands for.
func (s *store) module(r record) *Module {
	return &Module{Source: r.Source, SHA256: r.SHA256, Signature: r.signature(), file: s.moduleFile(r.SHA256)}
}

// create makes the file of a module that is coming.
func (s *store) create() (*os.File, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	return os.CreateTemp(s.dir, newPrefix)
}

// keep gives a module its place, and notes that it came from source.
func (s *store) keep(source string, r record, b *body) error {
	if err := errors.Join(b.file.Sync(), b.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(b.file.Name(), s.moduleFile(r.SHA256)); err != nil {
		return err
	}
	if err := s.note(source, r); err != nil {
		return err
	}
	return s.trim(r.SHA256)
}

// note notes what came from source.
func (s *store) note(source string, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := s.create()
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.recordFile(source))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // err says more
	}
	return err
}

// trim removes the modules that were used least recently, until all have at most the
// size that they may have. That of the digest sum stays. A module that runs needs its
// file no more.
func (s *store) trim(sum string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil || s.size <= 0 {
		return err
	}
	var list []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // another process has removed it
		}
		if strings.HasPrefix(e.Name(), newPrefix) && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(s.dir, e.Name())) // the next time, or never: it is small
		}
		if strings.HasSuffix(e.Name(), moduleSuffix) {
			list = append(list, info)
			total += info.Size()
		}
	}
	slices.SortFunc(list, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range list {
		if total <= s.size {
			break
		}
		if info.Name() == sum+moduleSuffix {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= info.Size()
	}
	return nil
}
