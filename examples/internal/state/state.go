// Package state has what the examples' SaveState and RestoreState write and read
// with: strings with their length in front, and numbers.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort says that a state ends before all of it was there.
var ErrShort = errors.New("found a state that is cut short")

// ErrLong says that a state goes on where it should end.
var ErrLong = errors.New("found more behind the end of the state")

// AppendBytes appends s with its length in front.
func AppendBytes[S []byte | string](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Reader cuts a state apart. After the first error all that it reads is zero.
type Reader struct {
	Rest []byte // not read yet
	Err  error
}

// Bytes is AppendBytes' inverse: a part of the state.
func (r *Reader) Bytes() []byte {
	size := r.Uint()
	if r.Err == nil && size > uint64(len(r.Rest)) {
		r.Err = ErrShort
	}
	if r.Err != nil {
		return nil
	}
	s := r.Rest[:size:size]
	r.Rest = r.Rest[size:]
	return s
}

// Uint reads what binary.AppendUvarint wrote.
func (r *Reader) Uint() uint64 { return number(r, binary.Uvarint) }

// Int reads what binary.AppendVarint wrote.
func (r *Reader) Int() int64 { return number(r, binary.Varint) }

// Count is Uint of a number that may be most at most.
func (r *Reader) Count(most int) int {
	n := r.Uint()
	if r.Err == nil && n > uint64(most) {
		r.Err = fmt.Errorf("found the number %d, wanted at most %d", n, most)
	}
	if r.Err != nil {
		return 0
	}
	return int(n)
}

func number[T any](r *Reader, cut func([]byte) (T, int)) (value T) {
	if r.Err != nil {
		return value
	}
	n, size := cut(r.Rest)
	if size <= 0 {
		r.Err = ErrShort
		return value
	}
	r.Rest = r.Rest[size:]
	return n
}

// Version refuses a layout other than the one that is wanted.
func Version(found, wanted int32) error {
	if found != wanted {
		return fmt.Errorf("found state version %d, wanted %d", found, wanted)
	}
	return nil
}
