package host

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero/api"
	"github.com/wirehost/wirehost/abi"
)

// clean is a guest's text as it may stand in a field: valid UTF-8, no control
// characters but tab and newline, which the logger quotes or indents.
func clean(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// logBudget bounds what one plugin logs: bytes a second, and what is cut is
// counted and said. Any goroutine.
type logBudget struct {
	mu    sync.Mutex
	rate  int // bytes a second; 0 = no bound
	left  int
	since time.Duration
	lines int // cut since the last line that went out
	bytes int
	total uint64 // bytes cut, ever
}

// take asks for n bytes. cutLines and cutBytes are what was cut before.
func (b *logBudget) take(now time.Duration, n int) (ok bool, cutLines, cutBytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return true, 0, 0
	}
	if now-b.since >= time.Second || b.since == 0 {
		b.since, b.left = now, b.rate
	}
	if n > b.left {
		b.left = 0 // nothing more in this second, so that lines keep their order
		b.lines++
		b.bytes += n
		b.total += uint64(n)
		return false, 0, 0
	}
	b.left -= n
	cutLines, cutBytes = b.lines, b.bytes
	b.lines, b.bytes = 0, 0
	return true, cutLines, cutBytes
}

// cut is how many bytes were cut, ever.
func (b *logBudget) cut() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

func (b *logBudget) setRate(rate int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = rate
}

var hclogLevels = [...]hclog.Level{
	abi.LevelTrace: hclog.Trace, abi.LevelDebug: hclog.Debug, abi.LevelInfo: hclog.Info,
	abi.LevelWarn: hclog.Warn, abi.LevelError: hclog.Error,
}

func logEmit(i *instance, stack []uint64) {
	level := uint32(stack[0])
	text := i.view("log.emit", uint32(stack[1]), uint32(stack[2]))
	if int(level) >= len(hclogLevels) {
		fail(stack, abi.EINVAL)
		return
	}
	stack[0] = api.EncodeI32(0)
	i.say(hclogLevels[level], "", text)
}

// say logs a guest's text. It goes into a field, never into the line itself.
func (i *instance) say(level hclog.Level, stream string, text []byte) {
	p := i.ver.plugin
	if level < p.log.GetLevel() {
		return
	}
	full := len(text)
	if full > abi.MaxLogMessage {
		text = text[:abi.MaxLogMessage]
	}
	ok, cutLines, cutBytes := p.budget.take(p.host.now(), len(text))
	if !ok {
		return
	}
	if cutLines > 0 {
		p.log.Warn("guest log lines were cut: over limits.log_bytes", "lines", cutLines, "bytes", cutBytes)
	}
	args := make([]any, 0, 10)
	args = append(args, "version", i.ver.name)
	if i.prefix != "" {
		args = append(args, "prefix", i.prefix)
	}
	if stream != "" {
		args = append(args, "stream", stream)
	}
	if full > len(text) {
		args = append(args, "bytes", full)
	}
	p.log.Log(level, "guest", append(args, "text", clean(text))...)
}

// lineLog turns what a guest writes to stdout or stderr into log lines.
type lineLog struct {
	stream string
	buf    []byte
}

func (l *lineLog) level() hclog.Level {
	if l.stream == "stderr" {
		return hclog.Warn
	}
	return hclog.Info
}

func (l *lineLog) write(i *instance, p []byte) {
	for {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			break
		}
		line := p[:n]
		if len(l.buf) > 0 {
			line = append(l.buf, line...)
		}
		i.say(l.level(), l.stream, bytes.TrimSuffix(line, []byte("\r")))
		l.buf, p = l.buf[:0], p[n+1:]
	}
	// What is past the limit of a line is cut from it anyway.
	room := max(0, abi.MaxLogMessage+1-len(l.buf))
	l.buf = append(l.buf, p[:min(len(p), room)]...)
}

// end logs a last line that has no end.
func (l *lineLog) end(i *instance) {
	if len(l.buf) > 0 {
		i.say(l.level(), l.stream, l.buf)
		l.buf = nil
	}
}
