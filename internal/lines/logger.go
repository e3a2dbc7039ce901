package lines

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
)

// Logger logs to w, from level on, in the format text or json. Every entry is one
// line. JSON begins with the keys time, level and msg; durations are numbers of seconds.
func Logger(w io.Writer, level, format string) hclog.Logger {
	if format == "json" {
		return newJSONLogger(w, level)
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.LevelFromString(level), Output: lineWriter{w}})
}

// jsonLogger is a logger of log/slog's, whose level can be set.
type jsonLogger struct {
	hclog.Logger
	level *slog.LevelVar
}

func newJSONLogger(w io.Writer, level string) hclog.Logger {
	l := &jsonLogger{level: &slog.LevelVar{}}
	l.SetLevel(hclog.LevelFromString(level))
	l.Logger = host.SlogLogger(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: l.level, ReplaceAttr: plainAttribute,
	})))
	return l
}

// SetLevel holds for what Named and With have given, too.
func (l *jsonLogger) SetLevel(level hclog.Level) {
	levels := map[hclog.Level]slog.Level{hclog.Trace: slog.LevelDebug - 4, hclog.Debug: slog.LevelDebug,
		hclog.Warn: slog.LevelWarn, hclog.Error: slog.LevelError, hclog.Off: slog.LevelError + 1}
	l.level.Set(levels[level]) // info is slog's zero
}

// plainAttribute writes levels as the configuration has them, and durations in seconds.
func plainAttribute(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case slog.Level:
		if v < slog.LevelDebug {
			return slog.String(a.Key, "trace")
		}
		return slog.String(a.Key, strings.ToLower(v.String()))
	case time.Duration:
		return slog.Float64(a.Key, v.Seconds())
	}
	return a
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
