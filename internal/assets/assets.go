// Package assets takes a folder of files as it is at one moment. What was taken is one
// text: each file's name and content, sorted by name. Two folders are the same to a guest
// where their texts are; so the text's sum tells versions apart, and it is what is kept of
// a version that another process may go back to.
package assets

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/wirehost/wirehost/abi"
)

// Limits bound a folder.
type Limits struct {
	Files int   // files and folders in it
	Bytes int64 // of all files, with their names: what the snapshot takes
}

// Set is what a folder had. It is immutable. nil is no folder.
type Set struct {
	text  []byte
	files []File
	sum   [sha256.Size]byte
}

// File is one of a Set's.
type File struct {
	Name    string // below the folder, with / between folders; UTF-8, at most abi.MaxAssetName bytes
	Content []byte // not to be changed
}

// magic begins a text.
const magic = "wirehost assets 1\n"

// appendHead appends what stands before a file's content.
func appendHead(text []byte, name string, size int64) []byte {
	text = binary.AppendUvarint(text, uint64(len(name)))
	text = append(text, name...)
	return binary.AppendUvarint(text, uint64(size))
}

// Parse reads a text, which the Set keeps.
func Parse(text []byte) (*Set, error) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok {
		return nil, errors.New("found no text of assets")
	}
	s := &Set{text: text, sum: sha256.Sum256(text)}
	for len(rest) > 0 {
		name, more, ok := piece(rest)
		content, after, whole := piece(more)
		if !ok || !whole {
			return nil, errors.New("found a text of assets that is cut short")
		}
		if err := checkName(string(name)); err != nil {
			return nil, err
		}
		if n := len(s.files); n > 0 && s.files[n-1].Name >= string(name) {
			return nil, fmt.Errorf("found %q behind %q, wanted them sorted", name, s.files[n-1].Name)
		}
		s.files = append(s.files, File{string(name), content})
		rest = after
	}
	return s, nil
}

// piece cuts a number and as many bytes off text.
func piece(text []byte) (piece, rest []byte, ok bool) {
	size, n := binary.Uvarint(text)
	if n <= 0 || size > uint64(len(text)-n) {
		return nil, nil, false
	}
	end := n + int(size)
	return text[n:end:end], text[end:], true
}

// checkName says why a guest can't have a file of a name.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("%q: found a name that is no UTF-8", name)
	case len(name) < 1 || len(name) > abi.MaxAssetName:
		return fmt.Errorf("%.40q…: found a name of %d bytes, wanted at most %d", name, len(name), abi.MaxAssetName)
	}
	return nil
}

// Files are the files, sorted by name, by bytes. The list is not to be changed.
func (s *Set) Files() []File {
	if s == nil {
		return nil
	}
	return s.files
}

// Sum is the SHA-256 of the text, in hex; "" of nil.
func (s *Set) Sum() string {
	if s == nil {
		return ""
	}
	return hex.EncodeToString(s.sum[:])
}

// Text is what Parse reads. It is not to be changed.
func (s *Set) Text() []byte { return s.text }

// LeftOut tells whether a file or folder of that name, without what is before it, is left
// out, and a folder with all that is in it: what is hidden, but for .well-known (RFC 8615),
// and what editors leave behind.
func LeftOut(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".well-known" || strings.HasSuffix(name, "~") ||
		len(name) > 1 && strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#")
}
