package main

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible is s on one line: what is not printable, line ends among it, stands
// as in a Go string. Text that others wrote can neither forge a line nor steer
// a terminal.
func visible(s string) string {
	return string(appendVisible(nil, []byte(s)))
}

func appendVisible(to, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && n == 1:
			to = append(to, `\x`+strconv.FormatUint(uint64(s[0])|0x100, 16)[1:]...)
		case unicode.IsPrint(r):
			to = append(to, s[:n]...)
		default:
			q := strconv.AppendQuoteRune(nil, r)
			to = append(to, q[1:len(q)-1]...)
		}
		s = s[n:]
	}
	return to
}

// lineWriter writes hclog's text format, which lets messages through as they
// are. hclog makes one Write of each entry, so every line end but the last came
// with the text.
type lineWriter struct{ w io.Writer }

func (l lineWriter) Write(b []byte) (int, error) {
	entry := appendVisible(make([]byte, 0, len(b)+16), bytes.TrimSuffix(b, []byte("\n")))
	if _, err := l.w.Write(append(entry, '\n')); err != nil {
		return 0, err
	}
	return len(b), nil
}

// plural is n and a noun.
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strings.Join([]string{strconv.Itoa(n), noun}, " ")
}
