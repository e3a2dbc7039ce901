package operate

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/logqueue"
)

// accessLog writes a line for each connection that has ended. Loops write into a queue, which
// never holds them. Any goroutine.
type accessLog struct {
	log    hclog.Logger
	stderr io.Writer
	wall   func() time.Time

	sink atomic.Pointer[accessSink] // nil = off
	lost atomic.Uint64              // lines, of sinks that are closed

	mu    sync.Mutex // held while the sink is replaced
	cfg   config.AccessLog
	ended bool
}

// accessSink is where the lines go.
type accessSink struct {
	queue *logqueue.Queue
	file  *logFile // nil = it is none
	json  bool
}

// set goes over to a configuration.
func (a *accessLog) set(cfg config.AccessLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || cfg == a.cfg {
		return
	}
	a.cfg = cfg
	a.replace(a.open(cfg))
}

// open makes a sink; nil = it is off.
func (a *accessLog) open(cfg config.AccessLog) *accessSink {
	s := &accessSink{json: cfg.Format == "json"}
	to := a.stderr
	if path, is := strings.CutPrefix(cfg.To, "file://"); is {
		s.file = &logFile{path: path, log: a.log}
		to = s.file
	} else if cfg.To == "" {
		return nil
	}
	s.queue = logqueue.New(logqueue.Options{To: to, Lost: func(lines, bytes uint64) {
		a.log.Warn("access log lines were lost: they were not written in time", "lines", lines, "bytes", bytes)
	}})
	return s
}

// replace has lines go to s, and ends what was before.
func (a *accessLog) replace(s *accessSink) {
	was := a.sink.Swap(s)
	if was == nil {
		return
	}
	was.queue.Close(logWait)
	a.lost.Add(was.queue.Lost())
	if was.file != nil {
		was.file.close()
	}
}

// reopen has the next line go to the file that has the name then: who rotates files has given
// the one before another.
func (a *accessLog) reopen() {
	if s := a.sink.Load(); s != nil && s.file != nil {
		s.file.again.Store(true)
	}
}

// end writes what is left.
func (a *accessLog) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.replace(nil)
}

// lostLines is how many lines were lost, ever.
func (a *accessLog) lostLines() uint64 {
	n := a.lost.Load()
	if s := a.sink.Load(); s != nil {
		n += s.queue.Lost()
	}
	return n
}

// write queues a connection's line. On its loop.
func (a *accessLog) write(e *host.ConnEnd) {
	s := a.sink.Load()
	if s == nil {
		return
	}
	var room [512]byte
	if s.json {
		_, _ = s.queue.Write(accessJSON(room[:0], e, a.wall())) // never fails
		return
	}
	_, _ = s.queue.Write(accessText(room[:0], e, a.wall())) // never fails
}

// logFile is a file that is opened when there is something to write, and again when that is
// wanted. One goroutine, but for again.
type logFile struct {
	path  string
	log   hclog.Logger
	again atomic.Bool

	mu     sync.Mutex // against close, where a Write never returns
	f      *os.File   // nil = it is not open
	failed bool       // the last write: told once
}

// Write appends to the file.
func (l *logFile) Write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again.Swap(false) && l.f != nil {
		err = l.f.Close()
		l.f = nil
	}
	if err == nil && l.f == nil {
		l.f, err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	}
	if err == nil {
		n, err = l.f.Write(p)
	}
	if (err != nil) != l.failed {
		if l.failed = err != nil; l.failed {
			l.log.Error("the access log can't be written; it is tried again", "err", err)
		} else {
			l.log.Info("the access log is written again", "path", l.path)
		}
	}
	return n, err
}

func (l *logFile) close() {
	if !l.mu.TryLock() { // a write does not return: the file is its
		return
	}
	defer l.mu.Unlock()
	if l.f == nil {
		return
	}
	if err := l.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		l.log.Warn("closing the access log", "err", err)
	}
	l.f = nil
}

// accessTime is a time as lines have it.
const accessTime = "2006-01-02T15:04:05.000Z07:00"

// accessText is a line of names and values. What others have chosen, such as the name that a
// client asks TLS for, can't be taken for another field or line.
func accessText(b []byte, e *host.ConnEnd, at time.Time) []byte {
	b = at.UTC().AppendFormat(b, accessTime)
	field := func(name, value string) {
		if value == "" {
			return
		}
		b = append(append(append(b, ' '), name...), '=')
		if plainValue(value) {
			b = append(b, value...)
		} else {
			b = strconv.AppendQuote(b, value)
		}
	}
	field("id", e.ID)
	field("peer", e.Peer)
	field("listener", e.Listener)
	if e.Listener == "" {
		field("outgoing", "true")
	}
	field("plugin", pluginOf(e))
	field("reason", e.Reason.String())
	field("duration", e.Age.Round(time.Millisecond).String())
	field("in", strconv.FormatUint(e.In, 10))
	field("out", strconv.FormatUint(e.Out, 10))
	field("tls", tlsOf(e))
	field("sni", cutName(e.ServerName))
	return append(b, '\n')
}

// plainValue tells whether a value needs no quotes.
func plainValue(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || r == '"' || r == '=' || r == '\\' || r == ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// accessJSON is a line of JSON.
func accessJSON(b []byte, e *host.ConnEnd, at time.Time) []byte {
	line, err := json.Marshal(struct {
		Time     string  `json:"time"`
		ID       string  `json:"id,omitempty"`
		Peer     string  `json:"peer"`
		Listener string  `json:"listener,omitempty"`
		Outgoing bool    `json:"outgoing,omitempty"`
		Plugin   string  `json:"plugin,omitempty"`
		Reason   string  `json:"reason"`
		Duration float64 `json:"duration_seconds"`
		In       uint64  `json:"in"`
		Out      uint64  `json:"out"`
		TLS      string  `json:"tls,omitempty"`
		SNI      string  `json:"sni,omitempty"`
	}{at.UTC().Format(accessTime), e.ID, e.Peer, e.Listener, e.Listener == "", pluginOf(e), e.Reason.String(),
		e.Age.Round(time.Millisecond).Seconds(), e.In, e.Out, tlsOf(e), cutName(e.ServerName)})
	if err != nil { // there is nothing in it that JSON does not have
		return b
	}
	return append(append(b, line...), '\n')
}

// pluginOf is the version that had the connection, or where none had it, the plugin's name.
func pluginOf(e *host.ConnEnd) string {
	if e.Version != "" {
		return e.Version
	}
	return e.Plugin
}

func tlsOf(e *host.ConnEnd) string {
	if e.TLSVersion == 0 {
		return ""
	}
	return strings.TrimPrefix(tls.VersionName(e.TLSVersion), "TLS ")
}

// cutName is a name of a host, which has 255 bytes at most (RFC 1035, 2.3.4).
func cutName(s string) string { return s[:min(len(s), 255)] }
