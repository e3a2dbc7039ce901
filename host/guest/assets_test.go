package guest

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/internal/meter"
)

// folder takes files as assets.
func folder(t testing.TB, files map[string]string) *assets.Set {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := assets.Open(assets.Limits{Files: 100, Bytes: 100 << 20})(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	set, err := assets.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAssetStatuses(t *testing.T) {
	set := folder(t, map[string]string{"a": "", "b.txt": "0123456789"})
	i := standing(t, "echo", func(s *Settings) { s.Assets = set }).instance(t)
	end := i.mem.Size()
	for _, c := range []struct {
		call   string
		params []int64
		want   int32
		at     string // what then lies at 64
	}{
		{"count", nil, 2, "...."},
		{"name", []int64{1, 64, 5}, 5, "b.txt"},
		{"name", []int64{1, 64, 4}, 5, "...."},
		{"name", []int64{0, 64, 5}, 1, "a..."},
		{"name", []int64{2, 64, 5}, -2, "...."},
		{"name", []int64{-1, 64, 5}, -2, "...."},
		{"name", []int64{math.MinInt32, 64, 5}, -2, "...."},
		{"name", []int64{1, int64(end), 0}, 5, "...."},
		{"size", []int64{0}, 0, "...."},
		{"size", []int64{1}, 10, "...."},
		{"size", []int64{2}, -2, "...."},
		{"size", []int64{-1}, -2, "...."},
		{"read", []int64{1, 0, 64, 4}, 4, "0123"},
		{"read", []int64{1, 8, 64, 4}, 2, "89.."},
		{"read", []int64{1, 10, 64, 4}, 0, "...."},
		{"read", []int64{1, 11, 64, 4}, 0, "...."},
		{"read", []int64{1, math.MaxInt32, 64, 4}, 0, "...."},
		{"read", []int64{1, -1, 64, 4}, -2, "...."},
		{"read", []int64{0, 0, 64, 4}, 0, "...."},
		{"read", []int64{2, 0, 64, 4}, -2, "...."},
		{"read", []int64{-1, 0, 64, 4}, -2, "...."},
		{"read", []int64{1, 0, int64(end) + 99, 0}, 0, "...."},
	} {
		i.mem.Write(64, []byte("......"))
		stack := make([]uint64, max(1, len(c.params)))
		for n, p := range c.params {
			stack[n] = 0xdead_0000_0000 | uint64(uint32(p)) // what is above an i32 says nothing
		}
		hostCalls()["assets."+c.call](i, stack)
		at, _ := i.mem.Read(64, uint32(len(c.at)))
		if got := api.DecodeI32(stack[0]); got != c.want || string(at) != c.at {
			t.Errorf("%s%v: found %d and %q, wanted %d and %q", c.call, c.params, got, at, c.want, c.at)
		}
	}
}

// TestAssetsOutsideMemory: a range that memory does not have is a trap, whatever the file.
func TestAssetsOutsideMemory(t *testing.T) {
	set := folder(t, map[string]string{"a": "1"})
	i := standing(t, "echo", func(s *Settings) { s.Assets = set }).instance(t)
	end := uint64(i.mem.Size())
	for _, c := range []struct {
		call   string
		params []uint64
	}{
		{"assets.name", []uint64{0, end - 1, 2}},
		{"assets.name", []uint64{0, math.MaxUint32, 1}},
		{"assets.read", []uint64{0, 0, end - 1, 2}},
		{"assets.read", []uint64{0, 5, end - 1, 2}},
		{"assets.read", []uint64{0, 0, 0, math.MaxUint32}},
		{"assets.read", []uint64{9, 0, end, 1}},
	} {
		func() {
			defer func() {
				if v, is := recover().(*violation); !is || !strings.Contains(v.Error(), "outside the memory") {
					t.Errorf("%s%v: found no trap", c.call, c.params)
				}
			}()
			hostCalls()[c.call](i, c.params)
		}()
	}
}

// TestReadsOfAssetsLook: to copy much takes a while, and so looks at the clock on the way.
func TestReadsOfAssetsLook(t *testing.T) {
	set := folder(t, map[string]string{"a": strings.Repeat("x", 5*assetsPart/2)})
	i := standing(t, "echo", func(s *Settings) { s.Assets = set }).instance(t)
	if _, ok := i.mem.Grow(100); !ok {
		t.Fatal("no memory")
	}
	looks := 0
	i.guard = meter.NewGuard(func() time.Duration { looks++; return 0 }, nil)
	i.guard.Arm(time.Minute)
	for _, c := range []struct {
		size       uint64
		looks, got int
	}{
		{longRange, 0, longRange}, {longRange + 1, 1, longRange + 1}, {4 * assetsPart, 3, 5 * assetsPart / 2},
	} {
		looks = 0
		stack := []uint64{0, 0, 0, c.size}
		assetsRead(i, stack)
		if looks != c.looks || int(stack[0]) != c.got {
			t.Errorf("%d bytes: found %d and %d looks, wanted %d and %d", c.size, stack[0], looks, c.got, c.looks)
		}
	}
}
