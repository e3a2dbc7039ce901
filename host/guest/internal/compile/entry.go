package compile

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/gate"
)

// entryFormat is the number of the layout of an entry, and of what is said
// between a server and its compiler process.
const entryFormat = 6

const (
	moduleFile = "module" // the header, a line of JSON, and what wazero is to decode
	codeFolder = "code"   // the folder of wazero's cache

	maxHeader = 64 << 10 // bytes, with the end of its line
)

// header says what an entry is.
type header struct {
	Format  int       `json:"format"`
	Key     string    `json:"key"`     // the entry's name
	Exports []string  `json:"exports"` // those that the contract knows
	Gate    gate.Info `json:"gate"`
	Size    int64     `json:"size"`  // of what follows the header, in bytes
	Image   int64     `json:"image"` // of that, the segments at its end
	Sum     uint32    `json:"sum"`   // see sumOfFile
	Code    string    `json:"code"`  // file of machine code, within the entry; "" = none
	CodeLen int64     `json:"code_size"`
	CodeSum uint32    `json:"code_sum"` // see sumCode
}

// Entry is a module that was compiled.
type Entry struct {
	Key     string    // tells entries apart
	Binary  []byte    // what wazero is to decode
	Image   []Segment // what linear memory holds at the start, beside what Binary says
	Exports []string  // of the module, those that the contract knows
	Gate    gate.Info // that leads to them
	Cache   string    // folder for wazero's cache; "" = there is no machine code

	dir     string      // that it lies in
	code    string      // file of the machine code
	summed  os.FileInfo // its state when it was added up
	private string      // folder that ends with the entry; "" = it lies in the cache
}

// Discard removes an entry that lies in no cache.
func (e *Entry) Discard() error {
	if e.private == "" {
		return nil
	}
	return os.RemoveAll(e.private)
}

// ErrDamaged says that an entry is not what was written.
var ErrDamaged = errors.New("compile: the entry of the cache is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write makes the entry's module file, and completes the header from what is
// there.
func (h header) write(dir string, content []byte, image []Segment) error {
	stub := len(content)
	content = appendSegments(content, image)
	h.Image = int64(len(content) - stub)
	h.Size = int64(len(content))
	var err error
	if h.Code != "" {
		var info os.FileInfo
		if info, h.CodeSum, err = sumCode(filepath.Join(dir, h.Code)); err != nil {
			return err
		}
		h.CodeLen = info.Size()
	}
	if h.Sum, err = h.sum(content); err != nil {
		return err
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, moduleFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{line, {'\n'}, content} {
		if _, err := f.Write(part); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

func (h header) sum(content []byte) (uint32, error) {
	h.Sum = 0
	return sumOfFile(h, content)
}

// sumOfFile is the CRC-32C of a file's header, in which its place is 0, and of the content
// that follows.
func sumOfFile(header any, content []byte) (uint32, error) {
	line, err := json.Marshal(header)
	return crc32.Update(crc32.Checksum(line, castagnoli), castagnoli, content), err
}

// readHeader reads the line of JSON that a file begins with, and returns its length.
func readHeader(r *bufio.Reader, header any) (n int64, err error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		err = json.Unmarshal(line, header)
	}
	return int64(len(line)), err
}

// readContent reads what follows a header that says how much that is, where so many bytes
// of the file are left.
func readContent(r io.Reader, left, said int64) ([]byte, error) {
	if said < 0 || left != said {
		return nil, fmt.Errorf("found %d bytes behind the header, wanted %d", left, said)
	}
	content := make([]byte, said)
	_, err := io.ReadFull(r, content)
	return content, err
}

func appendSegments(content []byte, image []Segment) []byte {
	for _, s := range image {
		content = binary4(binary4(content, s.Address), uint32(len(s.Bytes)))
		content = append(content, s.Bytes...)
	}
	return content
}

func binary4(b []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(b, n) }

// segments reads what appendSegments has made of an image.
func segments(b []byte) (image []Segment, ok bool) {
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, false
		}
		s := Segment{Address: binary.LittleEndian.Uint32(b)}
		n := uint64(binary.LittleEndian.Uint32(b[4:]))
		if b = b[8:]; n > uint64(len(b)) {
			return nil, false
		}
		s.Bytes, b = b[:n], b[n:]
		image = append(image, s)
	}
	return image, true
}

// open reads the entry in dir. An error that is ErrDamaged says that it must be
// made anew, one that is os.ErrNotExist that there is none.
func open(dir string) (*Entry, error) {
	f, err := bounded.OpenRegular(filepath.Join(dir, moduleFile))
	if err != nil {
		return nil, damage(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	e := &Entry{Key: filepath.Base(dir), dir: dir}
	h, err := e.readModule(f, info.Size())
	if err == nil && h.Code != "" {
		err = e.findCode(dir, h)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	return e, nil
}

// readModule reads an entry's module file, of so many bytes. Any error is damage.
func (e *Entry) readModule(f io.Reader, size int64) (h header, err error) {
	r := bufio.NewReaderSize(f, maxHeader)
	n, err := readHeader(r, &h)
	if err != nil || h.Format != entryFormat {
		return h, errors.New("found no header")
	}
	if h.Key != e.Key {
		return h, fmt.Errorf("found the entry %.64q", h.Key)
	}
	content, err := readContent(r, size-n, h.Size)
	if err != nil {
		return h, err
	}
	if sum, err := h.sum(content); err != nil || sum != h.Sum {
		return h, errors.New("found another checksum of the module")
	}
	if h.Image < 0 || h.Image > h.Size {
		return h, errors.New("found an image of another size")
	}
	stub := h.Size - h.Image
	if e.Image, _ = segments(content[stub:]); h.Image > 0 && e.Image == nil {
		return h, errors.New("found an image that is cut short")
	}
	e.Binary, e.Exports, e.Gate = content[:stub], h.Exports, h.Gate
	return h, nil
}

// findCode finds an entry's machine code, and adds up what wazero does not. Any error is
// damage.
func (e *Entry) findCode(dir string, h header) error {
	if !filepath.IsLocal(h.Code) {
		return errors.New("found machine code outside of it")
	}
	e.Cache, e.code = filepath.Join(dir, codeFolder), filepath.Join(dir, h.Code)
	var sum uint32
	var err error
	if e.summed, sum, err = sumCode(e.code); err != nil || sum != h.CodeSum || e.summed.Size() != h.CodeLen {
		return errors.New("found no machine code, or another checksum of it")
	}
	return nil
}

// damage is err where it says that there is no entry, else ErrDamaged.
func damage(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// Loaded tells whether wazero has taken the machine code that the entry has, when
// asked afterwards: where it does not like what it finds, it compiles, and that
// would be the stub. So the file must be the one that was added up, all the time.
func (e *Entry) Loaded() bool {
	after, err := os.Stat(e.code)
	return err == nil && os.SameFile(e.summed, after) && e.summed.Size() == after.Size() &&
		e.summed.ModTime().Equal(after.ModTime())
}
