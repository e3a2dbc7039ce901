package guest

import (
	"bytes"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// Clean is a guest's text as it may stand in a field of a log line: valid UTF-8, no
// control characters but tab and newline, which the logger quotes or indents.
func Clean(text string) string {
	s := strings.ToValidUTF8(text, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// CleanLine is an error's first line, cleaned.
func CleanLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return Clean(line)
}

// cut is what was cut from a log.
type cut struct{ lines, bytes int }

// logBudget bounds what guests log: bytes a second, each line with all that
// stands in it. What is cut is counted and said. Any goroutine.
type logBudget struct {
	mu    sync.Mutex
	rate  int // bytes a second; 0 = no bound
	left  int // below 0: the last line took of the next second
	since time.Duration
	begun bool
	cut   cut    // since the last line that went out
	total uint64 // bytes cut, ever
}

// take asks for a line of n bytes. before is what was cut before it. What the line
// takes beyond that is to be paid.
func (b *logBudget) take(now time.Duration, n int) (ok bool, before cut) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return true, cut{}
	}
	switch seconds := (now - b.since) / time.Second; {
	case !b.begun:
		b.begun, b.since, b.left = true, now, b.rate
	case seconds > 0:
		b.since = now
		b.left = min(b.rate, b.left+int(min(seconds, 1<<20))*b.rate)
	}
	if b.left <= 0 {
		b.skip(1, n)
		return false, cut{}
	}
	b.left -= n
	before, b.cut = b.cut, cut{}
	return true, before
}

// skip counts lines that are not logged. b.mu is held.
func (b *logBudget) skip(lines, bytes int) {
	b.cut.lines += lines
	b.cut.bytes += bytes
	b.total += uint64(bytes)
}

// cutOff counts lines that follow one that was cut.
func (b *logBudget) cutOff(lines, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.skip(lines, bytes)
}

// pay takes n bytes more for the line that went out.
func (b *logBudget) pay(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= n
}

// untold is what was cut in a second that is over, and no line has told of since; at
// the end, all of that.
func (b *logBudget) untold(now time.Duration, end bool) (before cut) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if end || now-b.since >= time.Second {
		before, b.cut = b.cut, cut{}
	}
	return before
}

// cutBytes is how many bytes were cut, ever.
func (b *logBudget) cutBytes() uint64 {
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

func logEmit(i *Instance, stack []uint64) {
	level := uint32(stack[0])
	text := view(i, "log.emit", uint32(stack[1]), uint32(stack[2]))
	if int(level) >= len(hclogLevels) {
		fail(stack, abi.EINVAL)
		return
	}
	stack[0] = api.EncodeI32(0)
	if logText(i, hclogLevels[level], "", text) {
		i.guard.Check()
	}
}

// lineOverhead is what stands in a line beside its names and its text, as JSON with
// every field: time, level, message, keys.
const lineOverhead = 160

// lineCost is what a line costs before its text, in bytes.
func lineCost(i *Instance) int {
	return lineOverhead + len(i.account.name) + len(i.guest.name) + int(i.prefixCost)
}

// logged is how many bytes text takes at most in a line, as hclog writes it: quoted,
// in lines of its own, or as JSON.
func logged(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r == '"' || r == '\\' || r == '\t':
			n += 2
		case r == '\n' || r == '<' || r == '>' || r == '&':
			n += 6
		case r < 0x7f:
			n++
		case unicode.IsPrint(r):
			n += utf8.RuneLen(r)
		default:
			n += 10
		}
	}
	return n
}

// logText logs a guest's text, and tells whether it did. It goes into a field, never
// into the line itself.
func logText(i *Instance, level hclog.Level, stream string, text []byte) bool {
	a := i.account
	if level < a.log.GetLevel() {
		return false
	}
	full := len(text)
	if full > abi.MaxLogMessage {
		text = text[:abi.MaxLogMessage]
	}
	ok, before := a.budget.take(a.now(), lineCost(i)+len(text))
	if !ok {
		return false
	}
	a.tellCut(before)
	args := make([]any, 0, 10)
	args = append(args, "version", i.guest.name)
	if i.prefix != "" {
		args = append(args, "prefix", i.prefix)
	}
	if stream != "" {
		args = append(args, "stream", stream)
	}
	if full > len(text) {
		args = append(args, "bytes", full)
	}
	field := Clean(string(text))
	a.budget.pay(logged(field) - len(text))
	a.log.Log(level, "guest", append(args, "text", field)...)
	return true
}

// lineLog turns what a guest writes to stdout or stderr into log lines.
type lineLog struct{ buf []byte }

// stream is the name of one of an instance's two, and the level of its lines.
func (l *lineLog) stream(i *Instance) (name string, level hclog.Level) {
	if l == &i.stderr {
		return "stderr", hclog.Warn
	}
	return "stdout", hclog.Info
}

// log logs a line, and tells whether it did.
func (l *lineLog) log(i *Instance, line []byte) bool {
	name, level := l.stream(i)
	return logText(i, level, name, line)
}

// write logs the lines that p ends. Where one is cut, so are those behind it, at
// once: they cost no time each.
func (l *lineLog) write(i *Instance, p []byte) {
	for {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			break
		}
		line := p[:n]
		if len(l.buf) > 0 {
			line = append(l.buf, line...)
			l.buf = l.buf[:0]
		}
		p = p[n+1:]
		if !l.log(i, bytes.TrimSuffix(line, []byte("\r"))) {
			p = l.skip(i, p)
			break
		}
		i.guard.Check()
	}
	// What is past the limit of a line is cut from it anyway.
	room := max(0, abi.MaxLogMessage+1-len(l.buf))
	l.buf = append(l.buf, p[:min(len(p), room)]...)
}

// skip counts the lines of p as cut, and returns what is behind them.
func (l *lineLog) skip(i *Instance, p []byte) []byte {
	if lines := bytes.Count(p, []byte("\n")); lines > 0 {
		size := bytes.LastIndexByte(p, '\n') + 1
		if _, level := l.stream(i); level >= i.account.log.GetLevel() {
			i.account.budget.cutOff(lines, size+lines*lineCost(i))
		}
		p = p[size:]
	}
	return p
}

// end logs a last line that has no end.
func (l *lineLog) end(i *Instance) {
	if len(l.buf) > 0 {
		l.log(i, l.buf)
		l.buf = nil
	}
}
