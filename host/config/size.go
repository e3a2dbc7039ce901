package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeWanted says what a Size may be.
const sizeWanted = "a size such as 512, 64KiB, 16MiB or 1GiB"

// units are the suffixes of sizes, as powers of two; only those of IEC 80000-13,
// since KB means 1000 to some and 1024 to others.
var units = [...]struct {
	suffix string
	shift  uint
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0}}

// parseSize reads a size: a whole number, with or without one of B, KiB, MiB,
// GiB and TiB behind it.
func parseSize(text string) (Size, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n > math.MaxInt64>>u.shift {
			break
		}
		return Size(n << u.shift), nil
	}
	return 0, fmt.Errorf("found %s, wanted %s", quote(text), sizeWanted)
}

// String is the shortest exact form; parseSize reads it back.
func (s Size) String() string {
	for _, u := range units {
		if u.shift > 0 && s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatInt(int64(s>>u.shift), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
