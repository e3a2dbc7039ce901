package lines

import (
	"bytes"
	"io"

	"github.com/hashicorp/go-hclog"
)

// Logger logs to w, from level on, in the format text or json. Every entry is one
// line.
func Logger(w io.Writer, level, format string) hclog.Logger {
	o := hclog.LoggerOptions{Level: hclog.LevelFromString(level), Output: w, JSONFormat: format == "json"}
	if !o.JSONFormat {
		o.Output = lineWriter{w}
	}
	return hclog.New(&o)
}

// lineWriter writes hclog's text format, which lets messages through as they
// are. hclog makes one Write of each entry, so every line end but the last came
// with the text. A value of several lines, such as a trap's stack, is written by
// hclog with "  | " before each: those lines stay, and begin like no entry.
type lineWriter struct{ w io.Writer }

const lineOfValue = "  | "

func (l lineWriter) Write(b []byte) (int, error) {
	rows := bytes.Split(bytes.TrimRight(b, "\n "), []byte("\n"))
	ofValue := func(n int) bool { return n > 0 && n < len(rows) && bytes.HasPrefix(rows[n], []byte(lineOfValue)) }
	entry := make([]byte, 0, len(b)+16)
	for n, line := range rows {
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
		entry = AppendVisible(entry, line)
	}
	if _, err := l.w.Write(append(entry, '\n')); err != nil {
		return 0, err
	}
	return len(b), nil
}
