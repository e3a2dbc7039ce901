// Package transcript drives a guest with no socket: a transcript says what a
// client sends and what it must get. Time is a clock that the transcript turns,
// and each transcript runs with its bytes whole, split at every offset, and one
// by one, since a protocol must not care how its stream is cut. One of several
// connections also runs on two event loops, which get them in turn.
//
// A transcript is lines. Blank lines and those that begin with # say nothing.
//
//	config {"delimiter": "\n"}   the plugin's config section; before all else
//	assets pages                 the plugin's assets: a folder, beside the transcript; before all else
//	connect                      opens a connection; the first is opened by itself
//	send "hello\r\n"             text in double quotes, as Go writes it; several are one
//	send hex 00 ff 10
//	expect "hello\r\n"           what comes next, to the byte
//	expect nothing               nothing more has come
//	expect close                 nothing more, and the end of the stream
//	expect reset
//	expect metric lines_total 2  a metric of the plugin's own; what counts, counts from the run's beginning
//	close                        closes the client's writing side
//	reset                        resets the connection
//	wait 5s                      turns the clock
//	reload                       the plugin is replaced by itself; all of its connections move
//	db: accept tcp://127.0.0.1:5432
//	tls                          turns TLS on: client on what connects, server on what accept takes
//	tls server                   the other way round
//	datagram "hello"             sends a datagram, from a socket of the client's own
//	expect datagram "hello"      the next one that has come to it, whole
//
// accept takes the connection that the guest has made to that address, where the
// transcript listens from the beginning; db is then its other end, which sends and expects
// as a client does. The guest may connect there, whatever its configuration allows.
//
// A command may have a name before it, `bob: send "hi\n"`: that of its
// connection. Commands without a name are about a connection of their own.
package transcript

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error says where a transcript is wrong.
type Error struct {
	File         string
	Line, Column int // from 1; the column in bytes
	Found        string
	Wanted       string
}

// Error has place, what was found and what was wanted.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: found %s, wanted %s", e.File, e.Line, e.Column, e.Found, e.Wanted)
}

type verb int

const (
	verbConnect verb = iota
	verbSend
	verbExpect
	verbExpectNothing
	verbExpectClose
	verbExpectReset
	verbExpectMetric
	verbClose
	verbReset
	verbWait
	verbAccept
	verbTLS
	verbReload
	verbDatagram
	verbExpectDatagram
)

// step is one command.
type step struct {
	line int
	conn string
	verb verb
	data []byte // of a metric, its name; of accept, the endpoint; of tls, the role or nothing
	wait time.Duration
	want float64 // of a metric
}

// apart tells whether a step is about no connection.
func (s step) apart() bool {
	switch s.verb {
	case verbWait, verbExpectMetric, verbReload, verbDatagram, verbExpectDatagram:
		return true
	}
	return false
}

// Transcript is a parsed one.
type Transcript struct {
	File   string
	Config json.RawMessage // nil where it says nothing
	Assets string          // a folder; "" where it says nothing
	steps  []step
}

// connections is how many the client opens.
func (t *Transcript) connections() int {
	n := 0
	open := map[string]bool{}
	for _, s := range t.steps {
		switch {
		case s.apart():
		case s.verb == verbAccept:
			open[s.conn] = true
		case s.verb == verbConnect || !open[s.conn]:
			open[s.conn] = true
			n++
		}
	}
	return n
}

const commands = "connect, accept, tls, send, datagram, expect, close, reset, reload, wait, assets or config"

// Parse reads a transcript. The error is an *Error.
func Parse(file, text string) (*Transcript, error) {
	t := &Transcript{File: file}
	n := 0
	for line := range strings.Lines(text) {
		n++
		p := &parser{file: file, line: n, text: strings.TrimRight(line, "\r\n")}
		if err := p.into(t); err != nil {
			return nil, err
		}
	}
	if len(t.steps) == 0 {
		return nil, &Error{file, max(n, 1), 1, "no command", commands}
	}
	return t, nil
}

// parser reads one line.
type parser struct {
	file string
	line int
	text string
	at   int
}

func (p *parser) fail(at int, found, wanted string) error {
	return &Error{p.file, p.line, at + 1, found, wanted}
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// word reads up to a space, and tells where it began.
func (p *parser) word() (word string, at int) {
	p.space()
	at = p.at
	for p.at < len(p.text) && p.text[p.at] != ' ' && p.text[p.at] != '\t' {
		p.at++
	}
	return p.text[at:p.at], at
}

func (p *parser) found(word string) string {
	if word == "" {
		return "the end of the line"
	}
	return strconv.Quote(word)
}

func (p *parser) into(t *Transcript) error {
	word, at := p.word()
	if word == "" || word[0] == '#' {
		return nil
	}
	s := step{line: p.line}
	if name, ok := strings.CutSuffix(word, ":"); ok {
		if name == "" ||
			strings.ContainsFunc(name,
				func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
			return p.fail(at, strconv.Quote(word), "a name of letters, digits, _ and -, and a colon")
		}
		s.conn = name
		word, at = p.word()
	}
	switch word {
	case "config":
		return p.config(t, at, s.conn)
	case "assets":
		return p.assets(t, at, s.conn)
	}
	if err := p.command(&s, word, at); err != nil {
		return err
	}
	if rest, at := p.word(); rest != "" && rest[0] != '#' {
		return p.fail(at, strconv.Quote(p.text[at:]), "the end of the line")
	}
	t.steps = append(t.steps, s)
	return nil
}

func (p *parser) config(t *Transcript, at int, conn string) error {
	if len(t.steps) > 0 || t.Config != nil || conn != "" {
		return p.fail(at, "config", "it once, before all else")
	}
	p.space()
	rest := p.text[p.at:]
	if !json.Valid([]byte(rest)) {
		at := 0
		var wrong *json.SyntaxError
		var value json.RawMessage
		if errors.As(json.Unmarshal([]byte(rest+"\x00"), &value), &wrong) { // so it is wrong at the end, not before
			at = int(wrong.Offset) - 1
		}
		return p.fail(p.at+at, p.found(rest[at:]), "JSON, on this line")
	}
	t.Config = json.RawMessage(rest)
	return nil
}

// assets reads the rest of the line, which may have spaces.
func (p *parser) assets(t *Transcript, at int, conn string) error {
	if len(t.steps) > 0 || t.Assets != "" || conn != "" {
		return p.fail(at, "assets", "it once, before all else")
	}
	p.space()
	dir := strings.TrimRight(p.text[p.at:], " \t")
	if dir == "" {
		return p.fail(p.at, p.found(""), "the path of a folder, from the transcript's own on")
	}
	if dir = filepath.FromSlash(dir); !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(p.file), dir)
	}
	t.Assets = dir
	return nil
}

func (p *parser) command(s *step, word string, at int) (err error) {
	switch word {
	case "connect":
		s.verb = verbConnect
	case "close":
		s.verb = verbClose
	case "reset":
		s.verb = verbReset
	case "send":
		s.verb = verbSend
		s.data, err = p.bytes()
	case "datagram":
		s.verb = verbDatagram
		s.data, err = p.bytes()
	case "expect":
		return p.expect(s)
	case "accept":
		return p.accept(s, at)
	case "tls":
		s.verb = verbTLS
		before := p.at
		role, _ := p.word()
		if role == roleClient || role == roleServer {
			s.data = []byte(role)
		} else {
			p.at = before
		}
	case "reload":
		s.verb = verbReload
	case "wait":
		s.verb = verbWait
		d, at := p.word()
		if s.wait, err = time.ParseDuration(d); err != nil || s.wait <= 0 {
			return p.fail(at, p.found(d), "a duration such as 5s")
		}
	default:
		return p.fail(at, p.found(word), commands)
	}
	return err
}

func (p *parser) expect(s *step) (err error) {
	before := p.at
	switch word, _ := p.word(); word {
	case "nothing":
		s.verb = verbExpectNothing
	case "close":
		s.verb = verbExpectClose
	case "reset":
		s.verb = verbExpectReset
	case "datagram":
		s.verb = verbExpectDatagram
		s.data, err = p.bytes()
	case "metric":
		s.verb = verbExpectMetric
		name, at := p.word()
		if s.data = []byte(name); name == "" {
			return p.fail(at, p.found(name), "the name of a metric")
		}
		value, at := p.word()
		if s.want, err = strconv.ParseFloat(value, 64); err != nil {
			return p.fail(at, p.found(value), "a number")
		}
	default:
		p.at = before
		s.verb = verbExpect
		s.data, err = p.bytes()
	}
	return err
}

// bytes reads texts in quotes, or hex and digits.
func (p *parser) bytes() ([]byte, error) {
	const wanted = `text in double quotes, or hex and pairs of digits`
	var data []byte
	p.space()
	first := p.at
	if word, _ := p.word(); word == "hex" {
		for {
			before := p.at
			digits, at := p.word()
			if digits == "" || digits[0] == '#' {
				p.at = before
				break
			}
			b, err := hex.DecodeString(digits)
			if err != nil {
				return nil, p.fail(at, strconv.Quote(digits), "pairs of hexadecimal digits")
			}
			data = append(data, b...)
		}
	} else {
		p.at = first
		for p.space(); p.at < len(p.text) && p.text[p.at] == '"'; p.space() {
			quoted, err := strconv.QuotedPrefix(p.text[p.at:])
			if err != nil {
				return nil, p.fail(p.at, p.text[p.at:], "text that ends with a double quote, with escapes as in Go")
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, p.fail(p.at, quoted, "escapes as in Go")
			}
			data = append(data, text...)
			p.at += len(quoted)
		}
	}
	if len(data) == 0 {
		rest := p.text[first:]
		return nil, p.fail(first, p.found(rest), wanted)
	}
	return data, nil
}
