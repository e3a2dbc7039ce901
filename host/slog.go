package host

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
)

// levelTrace is hclog's level below debug, which log/slog has no name for.
const levelTrace = slog.LevelDebug - 4

// SlogLogger is a Logger for Options that logs to l. Keys and values become
// attributes, and so does the part of the host that speaks, as logger=reactor;
// trace, with which callbacks are traced, is slog.LevelDebug-4. What is logged is
// l's to decide, whatever level the configuration names. What l's Handler writes
// to must not block.
func SlogLogger(l *slog.Logger) hclog.Logger { return &slogLogger{handler: l.Handler()} }

// slogLogger is an hclog.Logger. It is never changed.
type slogLogger struct {
	handler slog.Handler // with what With gave
	name    string
	args    []any // of With, as hclog wants to see them again
}

var _ hclog.Logger = (*slogLogger)(nil)

func (l *slogLogger) Trace(msg string, args ...any) { l.log(levelTrace, msg, args) }
func (l *slogLogger) Debug(msg string, args ...any) { l.log(slog.LevelDebug, msg, args) }
func (l *slogLogger) Info(msg string, args ...any)  { l.log(slog.LevelInfo, msg, args) }
func (l *slogLogger) Warn(msg string, args ...any)  { l.log(slog.LevelWarn, msg, args) }
func (l *slogLogger) Error(msg string, args ...any) { l.log(slog.LevelError, msg, args) }

// Log logs at a level that is one of hclog's.
func (l *slogLogger) Log(level hclog.Level, msg string, args ...any) {
	if level != hclog.Off {
		l.log(slogLevel(level), msg, args)
	}
}

// log is called by the methods above alone: it says that their caller speaks.
func (l *slogLogger) log(level slog.Level, msg string, args []any) {
	ctx := context.Background()
	if !l.handler.Enabled(ctx, level) {
		return
	}
	var pc [1]uintptr
	runtime.Callers(3, pc[:])
	r := slog.NewRecord(time.Now(), level, msg, pc[0])
	if l.name != "" {
		r.AddAttrs(slog.String("logger", l.name))
	}
	r.AddAttrs(attributes(args)...)
	_ = l.handler.Handle(ctx, r) // as log/slog does: there is nobody to tell
}

// attributes are hclog's keys and values.
func attributes(args []any) []slog.Attr {
	var list []slog.Attr
	for len(args) > 1 {
		list = append(list, slog.Any(fmt.Sprint(args[0]), slogValue(args[1])))
		args = args[2:]
	}
	if len(args) == 1 {
		list = append(list, slog.Any(hclog.MissingKey, slogValue(args[0])))
	}
	return list
}

// slogValue is a value as hclog would show it, where that is a type of hclog's own.
func slogValue(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if len(v) > 0 {
			return fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
		}
	case hclog.CapturedStacktrace:
		return string(v)
	}
	return v
}

// slogLevel is a level of hclog's.
func slogLevel(level hclog.Level) slog.Level {
	switch level {
	case hclog.Trace:
		return levelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (l *slogLogger) enabled(level slog.Level) bool {
	return l.handler.Enabled(context.Background(), level)
}

func (l *slogLogger) IsTrace() bool { return l.enabled(levelTrace) }
func (l *slogLogger) IsDebug() bool { return l.enabled(slog.LevelDebug) }
func (l *slogLogger) IsInfo() bool  { return l.enabled(slog.LevelInfo) }
func (l *slogLogger) IsWarn() bool  { return l.enabled(slog.LevelWarn) }
func (l *slogLogger) IsError() bool { return l.enabled(slog.LevelError) }

// GetLevel is the lowest level that is logged.
func (l *slogLogger) GetLevel() hclog.Level {
	for level := hclog.Trace; level <= hclog.Error; level++ {
		if l.enabled(slogLevel(level)) {
			return level
		}
	}
	return hclog.Off
}

// SetLevel does nothing: the handler decides.
func (l *slogLogger) SetLevel(hclog.Level) {}

func (l *slogLogger) ImpliedArgs() []any { return l.args }
func (l *slogLogger) Name() string       { return l.name }

// With has args in every entry.
func (l *slogLogger) With(args ...any) hclog.Logger {
	return &slogLogger{l.handler.WithAttrs(attributes(args)), l.name, append(slices.Clip(l.args), args...)}
}

// Named is a logger of a part of what l is of.
func (l *slogLogger) Named(name string) hclog.Logger {
	if l.name != "" {
		name = l.name + "." + name
	}
	return l.ResetNamed(name)
}

// ResetNamed is a logger of another name.
func (l *slogLogger) ResetNamed(name string) hclog.Logger {
	return &slogLogger{l.handler, name, l.args}
}

// StandardLogger logs what a package logs that knows package log alone.
func (l *slogLogger) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	level := slog.LevelInfo
	if o != nil && o.ForceLevel != hclog.NoLevel {
		level = slogLevel(o.ForceLevel)
	}
	return slog.NewLogLogger(l.named(), level)
}

// StandardWriter is where such a package may write.
func (l *slogLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}

func (l *slogLogger) named() slog.Handler {
	if l.name == "" {
		return l.handler
	}
	return l.handler.WithAttrs([]slog.Attr{slog.String("logger", l.name)})
}
