package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

var kinds = []int{8, 16, 32} // bits of a length

// starter starts servers for one kind of length.
func starter(bits int) func() (*sdktest.Server, error) {
	return func() (*sdktest.Server, error) {
		return sdktest.Start(&factory{}, sdktest.Options{Config: fmt.Sprintf(`{"bits": %d, "max_length": 300}`, bits)})
	}
}

// frame puts the length in front.
func frame(bits int, list ...string) string {
	var b strings.Builder
	for _, s := range list {
		for shift := bits - 8; shift >= 0; shift -= 8 {
			b.WriteByte(byte(len(s) >> shift))
		}
		b.WriteString(s)
	}
	return b.String()
}

// Each input is cut everywhere, with a reload there and without.
func TestReverse(t *testing.T) {
	long := strings.Repeat("ab", 100)
	for _, bits := range kinds {
		next := func() wirehost.Factory { return &factory{} }
		input := []byte(frame(bits, "hello", "", "x", long, "\x00\x01") + frame(bits, "half")[:bits/8+2])
		want := frame(bits, "olleh", "", "x", strings.Repeat("ba", 100), "\x01\x00")
		for _, r := range []sdktest.Result{sdktest.ChunkLaw(t, starter(bits), input),
			sdktest.ReloadLaw(t, starter(bits), next, input)} {
			if r.Output != want || r.Disconnecting {
				t.Errorf("%d bits: found %s, wanted %q", bits, r, want)
			}
		}
	}
}

func TestTooLong(t *testing.T) {
	for bits, want := range map[int]string{
		16: frame(16, "hi", "301 bytes are too long"),
		32: frame(32, "hi", "301 bytes are too long"),
	} {
		input := frame(bits, "ih") + frame(bits, strings.Repeat("x", 301)) + frame(bits, "no")
		r := sdktest.ChunkLaw(t, starter(bits), []byte(input))
		if r.Output != want || !r.Ended || r.Reason != wirehost.Done {
			t.Errorf("%d bits: found %s, wanted %q", bits, r, want)
		}
	}
}

// A peer that sends and does not read gets its answers as it reads on, over a
// reload too.
func TestStalled(t *testing.T) {
	for _, bits := range kinds {
		s, err := sdktest.Start(&factory{}, sdktest.Options{Stalled: true, Config: fmt.Sprintf(`{"bits": %d}`, bits)})
		if err != nil {
			t.Fatal(err)
		}
		c := s.Accept()
		piece := frame(bits, strings.Repeat("x", 200))
		c.Send(strings.Repeat(piece, 5000))
		if q := c.Queued(); q > 256<<10 {
			t.Errorf("%d bytes are queued", q)
		}
		if err := s.Reload(&factory{}); err != nil {
			t.Fatal(err)
		}
		for c.Queued() > 0 {
			c.Drain()
		}
		if found := c.Take(); found != strings.Repeat(piece, 5000) {
			t.Errorf("found %d bytes, wanted %d", len(found), 5000*len(piece))
		}
	}
}

// In a reload the kind of length must stay.
func TestRestoreRefused(t *testing.T) {
	for state, want := range map[string]string{
		"":                 "cut short",
		"\x08\x00\x00":     "found lengths of 8 bits, wanted 16",
		"\x10\x00\x05ab":   "cut short",
		"\x10\x00\x00more": "found more behind the end",
	} {
		p := (&factory{config{16, 99}}).BuildProtocol(nil).(wirehost.StateSaver)
		if err := p.RestoreState(stateVersion, []byte(state)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: found error %v, wanted %q", state, err, want)
		}
		if err := p.RestoreState(stateVersion+1, []byte("\x10\x00\x00")); err == nil {
			t.Error("it takes another version")
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"bits": 24}`:            "config.bits: found 24",
		`{"max_length": 0}`:       "config.max_length: found 0",
		`{"max_length": 9999999}`: "config.max_length: found 9999999, wanted 1 to 4194304",
	} {
		if _, err := sdktest.Start(&factory{}, sdktest.Options{Config: config}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: found error %v, wanted %q", config, err, want)
		}
	}
}

// FuzzStrings holds any input to the chunk law, and the answers to the strings.
func FuzzStrings(f *testing.F) {
	for i, bits := range kinds {
		f.Add(byte(i), []byte(frame(bits, "hello", "", "x")))
	}
	f.Fuzz(func(t *testing.T, kind byte, input []byte) {
		if len(input) > 200 {
			return
		}
		bits := kinds[int(kind)%3]
		var want []byte
		for rest := input; len(rest) >= bits/8; {
			size := 0
			for _, b := range rest[:bits/8] {
				size = size<<8 | int(b)
			}
			if size > 300 {
				want = append(want, frame(bits, fmt.Sprintf("%d bytes are too long", size))...)
			}
			if len(rest)-bits/8 < size {
				break
			}
			s := slices.Clone(rest[bits/8 : bits/8+size])
			slices.Reverse(s)
			want = append(want, frame(bits, string(s))...)
			rest = rest[bits/8+size:]
		}
		if r := sdktest.ChunkLaw(t, starter(bits), input); r.Output != string(want) {
			t.Errorf("found %s, wanted %q", r, want)
		}
	})
}
