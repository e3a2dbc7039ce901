package command

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// What a terminal is told (ECMA-48, and xterm's control sequences): another screen without
// a cursor, and back; the top left corner; to erase to the end of a line, and below.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// Of a terminal that does not say how large it is.
const (
	usualWidth  = 80
	usualHeight = 24
)

// screen is where a table is drawn again and again: a terminal, or where that can't be
// drawn on, whatever takes one table after the other.
type screen struct {
	out   io.Writer
	in    *os.File // nil = nobody types
	tty   *os.File // nil = it can't be drawn on
	saved *term.State
	drawn bool
}

// newScreen makes one of standard input and output. name is $TERM.
func newScreen(in *os.File, out io.Writer, name string) *screen {
	s := &screen{out: out}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	if term.IsTerminal(int(in.Fd())) {
		s.in = in
	}
	if name != "" && name != "dumb" {
		s.tty = f
	}
	return s
}

// open begins to draw. keys are what is typed: at once on a terminal that is drawn on,
// else line by line; nil = nobody can. It may be read from until the process ends.
func (s *screen) open() (keys <-chan byte, err error) {
	if s.tty != nil && s.in != nil {
		if s.saved, err = term.MakeRaw(int(s.in.Fd())); err != nil {
			return nil, err
		}
	}
	if s.tty != nil {
		if _, err := io.WriteString(s.out, enterScreen); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if s.in == nil {
		return nil, nil
	}
	typed := make(chan byte)
	go func() { // until the process ends: a read of a terminal can't be given up
		defer close(typed)
		b := make([]byte, 1)
		for {
			if n, err := s.in.Read(b); n == 0 || err != nil {
				return
			}
			typed <- b[0]
		}
	}()
	return typed, nil
}

// close leaves the terminal as it was.
func (s *screen) close() error {
	var errs []error
	if s.tty != nil {
		_, err := io.WriteString(s.out, leaveScreen)
		errs = append(errs, err)
	}
	if s.saved != nil {
		errs = append(errs, term.Restore(int(s.in.Fd()), s.saved))
		s.saved = nil
	}
	return errors.Join(errs...)
}

// size is the columns and rows that there are; of what is no terminal, any number.
func (s *screen) size() (width, height int) {
	if s.tty == nil {
		return 0, 1 << 20
	}
	width, height, err := term.GetSize(int(s.tty.Fd()))
	if err != nil || width < 1 || height < 1 {
		return usualWidth, usualHeight
	}
	return width, height
}

// draw shows a table, which has printable characters alone.
func (s *screen) draw(list []string) error {
	var b strings.Builder
	if s.tty == nil {
		if s.drawn {
			b.WriteByte('\n')
		}
		s.drawn = true
		for _, line := range list {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	} else {
		b.WriteString(topLeft)
		for n, line := range list {
			if n > 0 {
				b.WriteString("\r\n") // a raw terminal takes \n for down alone
			}
			b.WriteString(line + eraseLine)
		}
		b.WriteString(eraseBelow)
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}
