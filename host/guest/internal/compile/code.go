package compile

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"os"

	"github.com/wirehost/wirehost/internal/bounded"
)

// sumCode adds up a file of wazero's cache, but for the instructions in it: those wazero
// adds up itself when it loads them, and they are nearly all. It gives the file's state
// from before.
func sumCode(name string) (info os.FileInfo, sum uint32, err error) {
	f, err := bounded.OpenRegular(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, 0, err
	}
	h := crc32.New(castagnoli)
	n, err := codeLength(io.TeeReader(f, h))
	if err != nil {
		return nil, 0, err
	}
	if s, ok := f.(io.Seeker); ok { // it is an *os.File
		if _, err := s.Seek(n, io.SeekCurrent); err != nil {
			return nil, 0, err
		}
	}
	_, err = io.Copy(h, f)
	return info, h.Sum32(), err
}

// codeLength reads a file of wazero's cache up to the instructions, and is their length
// in bytes; 0 where the file is not of the form that wazero 1.12 gives it
// (serializeCompiledModule): "WAZEVO", the version and its length before it, the number
// of functions, where each begins, the length of the instructions; behind them their
// checksum, and tables.
func codeLength(r io.Reader) (int64, error) {
	const magic = "WAZEVO"
	b := make([]byte, math.MaxUint8+4)
	head := b[:len(magic)+1]
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(magic)]) != magic {
		return 0, err
	}
	version := b[:int(head[len(magic)])+4]
	if _, err := io.ReadFull(r, version); err != nil {
		return 0, err
	}
	functions := binary.LittleEndian.Uint32(version[len(version)-4:])
	if _, err := io.CopyN(io.Discard, r, 8*int64(functions)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r, b[:8]); err != nil {
		return 0, err
	}
	return int64(min(binary.LittleEndian.Uint64(b), math.MaxInt64)), nil
}
