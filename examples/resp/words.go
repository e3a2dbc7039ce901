package main

import (
	"bytes"
	"strconv"
	"strings"
)

// number reads an integer as Redis does: in the one way that it would write it.
func number(text []byte) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	var b [20]byte
	return n, err == nil && bytes.Equal(strconv.AppendInt(b[:0], n, 10), text)
}

// splitWords appends the words of an inline command to words, as Redis reads
// them: parted by white space, but in quotes. ok is false where a quote is not
// closed, or something follows it at once. The words lie in line, which is
// written over.
func splitWords(words [][]byte, line []byte) (_ [][]byte, ok bool) {
	for {
		if line = bytes.TrimLeft(line, " \t\v\f\r"); len(line) == 0 {
			return words, true
		}
		word, n := cutWord(line)
		if n == 0 {
			return words, false
		}
		words, line = append(words, word), line[n:]
	}
}

// cutWord unquotes the word at the front of line, and returns how many bytes it
// took; 0 is a fault.
func cutWord(line []byte) (word []byte, n int) {
	word = line[:0]
	for n < len(line) && strings.IndexByte(" \t\r", line[n]) < 0 {
		if b := line[n]; b != '"' && b != '\'' {
			word = append(word, b)
			n++
			continue
		}
		word, size := unquote(word, line[n:])
		n += size
		if size == 0 || n < len(line) && strings.IndexByte(" \t\v\f\r", line[n]) < 0 {
			return nil, 0
		}
		return word, n
	}
	return word, n
}

// unquote appends to word what stands in the quotes at the front of s, and
// returns how many bytes they took; 0 is that they do not close. In single quotes
// only the quote itself may have a backslash.
func unquote(word, s []byte) (_ []byte, n int) {
	quote := s[0] // word may be written over it
	for i := 1; i < len(s); i++ {
		switch b := s[i]; {
		case b == quote:
			return word, i + 1
		case b == '\\' && i+1 < len(s) && (quote == '"' || s[i+1] == quote):
			b, size := unescape(s[i+1:])
			word = append(word, b)
			i += size
		default:
			word = append(word, b)
		}
	}
	return word, 0
}

// unescape reads what follows a backslash: one byte, or xHH.
func unescape(s []byte) (b byte, n int) {
	const from, to = "nrtba", "\n\r\t\b\a"
	if s[0] == 'x' && len(s) > 2 {
		if b, err := strconv.ParseUint(string(s[1:3]), 16, 8); err == nil {
			return byte(b), 3
		}
	}
	if i := strings.IndexByte(from, s[0]); i >= 0 {
		return to[i], 1
	}
	return s[0], 1
}
