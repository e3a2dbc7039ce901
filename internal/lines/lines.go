// Package lines makes lines, for people and their terminals, of what others wrote:
// errors of several faults, and text that is not printable.
package lines

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
)

// Visible is s on one line: what is not printable, line ends among it, stands
// as in a Go string. Text that others wrote can neither forge a line nor steer
// a terminal.
func Visible(s string) string {
	return string(AppendVisible(nil, []byte(s)))
}

// AppendVisible appends to to what Visible makes of s.
func AppendVisible(to, s []byte) []byte {
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

// Faults are the errors that err is made of: each of a join, each fault of a
// module. What wraps them is in none, or in the first.
func Faults(err error) []error {
	var list []error
	switch e := err.(type) { //nolint:errorlint // a wrapped join's text begins with what wraps it
	case *host.LoadError:
		for _, f := range e.Faults {
			list = append(list, &host.LoadError{Plugin: e.Plugin, Module: e.Module, Faults: []string{f}})
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			list = append(list, Faults(one)...)
		}
		return list
	}
	if len(list) == 0 {
		return []error{err}
	}
	return list
}

// Of are err's messages: a line for each of its Faults, and for each line of one.
func Of(err error) []string {
	var list []string
	for _, fault := range Faults(err) {
		if _, ok := fault.(*host.LoadError); ok { //nolint:errorlint // not what wraps one
			list = append(list, Visible(fault.Error()))
			continue
		}
		for line := range strings.SplitSeq(fault.Error(), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, Visible(line))
			}
		}
	}
	return list
}

// maxLogged and maxLine bound what is logged of an error: how many faults a module
// has, and how long its names are, is the module's doing.
const (
	maxLogged = 64
	maxLine   = 1024 // bytes
)

// Log logs err, one entry for each of its lines.
func Log(log hclog.Logger, message string, err error) {
	list := Of(err)
	for n, line := range list {
		if n == maxLogged {
			log.Error(message, "err", fmt.Sprintf("and %d more faults", len(list)-n))
			return
		}
		if len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "") + "…"
		}
		log.Error(message, "err", line)
	}
}
