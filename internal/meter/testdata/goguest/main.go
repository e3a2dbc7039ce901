// Command goguest is a Go guest for the tests and benchmarks of package meter.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unsafe"
)

var buf [65536]byte

//go:wasmexport buffer
func buffer() int32 { return int32(uintptr(unsafe.Pointer(&buf))) }

//go:wasmexport sum
func sum(n int32) int32 {
	h := sha256.Sum256(buf[:n])
	return int32(h[0]) | int32(h[1])<<8
}

//go:wasmexport lines
func lines(n int32) int32 {
	b := buf[:n]
	c := 0
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return int32(c)
		}
		l := b[:i]
		if k, _, ok := bytes.Cut(l, []byte(":")); ok && len(k) > 2 {
			c++
		}
		b = b[i+1:]
	}
}

//go:wasmexport work
func work(n int32) int32 {
	m := map[string]int{}
	for i := range int(n) {
		m[fmt.Sprintf("k%d", i*7%101)] += i
	}
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	j, _ := json.Marshal(m)
	var back map[string]any
	if err := json.Unmarshal(j, &back); err != nil {
		return -1
	}
	r := regexp.MustCompile(`k(\d+)5`)
	return int32(len(r.FindAllString(strings.Join(ks, ","), -1)) + len(j))
}

//go:wasmexport deep
func deep(n int32) int32 {
	s := strings.Repeat("[", int(n)) + strings.Repeat("]", int(n))
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return -1
	}
	return 1
}

//go:wasmexport recurse
func recurse(n int32) int32 {
	if n == 0 {
		return 0
	}
	return recurse(n-1) + 1
}

func main() {}
