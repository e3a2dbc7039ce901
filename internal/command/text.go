package command

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
// with the text. A value of several lines, such as a trap's stack, is written by
// hclog with "  | " before each: those lines stay, and begin like no entry.
type lineWriter struct{ w io.Writer }

const lineOfValue = "  | "

func (l lineWriter) Write(b []byte) (int, error) {
	lines := bytes.Split(bytes.TrimRight(b, "\n "), []byte("\n"))
	ofValue := func(n int) bool { return n > 0 && n < len(lines) && bytes.HasPrefix(lines[n], []byte(lineOfValue)) }
	entry := make([]byte, 0, len(b)+16)
	for n, line := range lines {
		switch {
		case ofValue(n):
			entry = append(append(entry, '\n'), lineOfValue...)
			line = line[len(lineOfValue):]
		case ofValue(n+1) && n > 0: // the value's key
			entry = append(entry, ' ')
			line = bytes.TrimSpace(line)
		case n > 0:
			entry = append(entry, `\n`...)
		}
		entry = appendVisible(entry, line)
	}
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
