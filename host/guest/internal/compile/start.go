package compile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wirehost/wirehost/internal/bounded"
)

// Start is what an instance of a module has come to when it had started: what an entry of
// the cache keeps of it, for each configuration.
type Start struct {
	Key      string    `json:"key"`   // tells configurations apart
	Pages    uint32    `json:"pages"` // of linear memory
	Globals  []uint64  `json:"globals"`
	Buffer   uint32    `json:"buffer"`            // address of the receive buffer
	Capacity uint32    `json:"capacity"`          // of that, in bytes
	Prefix   string    `json:"prefix"`            // for log lines
	Clock    int64     `json:"clock"`             // the guest's, in ns
	Metrics  []Metric  `json:"metrics,omitempty"` // of the guest's own, in the order of their ids
	Size     int64     `json:"size"`              // of what follows, in bytes
	Sum      uint32    `json:"sum"`               // see sumOfFile
	Memory   []Segment `json:"-"`                 // what is not zero
	Format   int       `json:"startFormat"`       // startFormat
}

// Metric is one that a guest has defined.
type Metric struct {
	Kind int32  `json:"kind"`
	Name string `json:"name"`
}

const (
	startFormat = 2
	startPrefix = "start-" // begins the names of their files
	maxStarts   = 4        // of an entry; more are those of configurations that are no more
)

// Starts keeps the starts of an entry's module. The zero value keeps none. Any
// goroutine, and any process.
type Starts struct{ dir string }

// Starts are those of an entry that lies in the cache.
func (e *Entry) Starts() Starts {
	if e.private != "" || e.dir == "" {
		return Starts{}
	}
	return Starts{e.dir}
}

func (s Starts) file(key string) string { return filepath.Join(s.dir, startPrefix+key) }

// Load reads a start. An error that is os.ErrNotExist says that there is none.
func (s Starts) Load(key string) (Start, error) {
	if s.dir == "" {
		return Start{}, os.ErrNotExist
	}
	f, err := bounded.OpenRegular(s.file(key))
	if err != nil {
		return Start{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Start{}, err
	}
	st, err := readStart(f, info.Size(), key)
	if err != nil {
		return Start{}, fmt.Errorf("%w: %s: %w", ErrDamaged, s.file(key), err)
	}
	return st, nil
}

// readStart reads a start's file, of so many bytes. Any error is damage.
func readStart(f io.Reader, size int64, key string) (st Start, err error) {
	r := bufio.NewReaderSize(f, maxHeader)
	n, err := readHeader(r, &st)
	if err != nil || st.Format != startFormat || st.Key != key {
		return st, errors.New("found no header")
	}
	content, err := readContent(r, size-n, st.Size)
	if err != nil {
		return st, err
	}
	if sum, err := st.sum(content); err != nil || sum != st.Sum {
		return st, errors.New("found another checksum")
	}
	var ok bool
	if st.Memory, ok = segments(content); !ok {
		return st, errors.New("found a memory that is cut short")
	}
	for _, m := range st.Memory {
		if uint64(m.Address)+uint64(len(m.Bytes)) > uint64(st.Pages)*wasmPage {
			return st, errors.New("found a part outside its memory")
		}
	}
	return st, nil
}

// sum is the checksum of a start whose memory is content: its globals and its buffer
// stand in the header.
func (st Start) sum(content []byte) (uint32, error) {
	st.Sum = 0
	return sumOfFile(st, content)
}

// Keep writes a start, which only the owner of this process may read: a guest's memory
// has what its configuration has. It appears whole, or not at all.
func (s Starts) Keep(st Start) error {
	if s.dir == "" {
		return nil
	}
	content := appendSegments(nil, st.Memory)
	st.Format, st.Size = startFormat, int64(len(content))
	var err error
	if st.Sum, err = st.sum(content); err != nil {
		return err
	}
	line, err := json.Marshal(st)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, newPrefix) // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(append(line, '\n'), content...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.file(st.Key))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return s.trim()
}

// trim removes the oldest starts that are too many.
func (s Starts) trim() error {
	files, err := filepath.Glob(filepath.Join(s.dir, startPrefix+"*"))
	if err != nil || len(files) <= maxStarts {
		return err
	}
	age := func(name string) time.Time {
		if info, err := os.Stat(name); err == nil {
			return info.ModTime()
		}
		return time.Time{} // it is gone
	}
	slices.SortFunc(files, func(a, b string) int { return age(a).Compare(age(b)) })
	var errs []error
	for _, f := range files[:len(files)-maxStarts] {
		if err := os.Remove(f); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
