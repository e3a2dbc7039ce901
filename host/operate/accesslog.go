package operate

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"strconv"
	"strings"
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
	replaced[config.AccessLog, accessSink, *accessSink]
	log    hclog.Logger
	stderr io.Writer
	wall   func() time.Time
}

// accessSink is where the lines go.
type accessSink struct {
	queue *logqueue.Queue
	file  *logFile // nil = it is none
	json  bool
}

// set goes over to a configuration. On an error, such as of a file that can't be opened, what
// was there goes on.
func (a *accessLog) set(cfg config.AccessLog) error { return a.replaced.set(cfg, a.open) }

// open makes a sink; nil = it is off.
func (a *accessLog) open(cfg config.AccessLog) (*accessSink, error) {
	s := &accessSink{json: cfg.Format == "json"}
	to := a.stderr
	if path, is := strings.CutPrefix(cfg.To, "file://"); is {
		f, err := openLogFile(path)
		if err != nil {
			return nil, err
		}
		s.file = &logFile{path: path, log: a.log, f: f}
		to = s.file
	} else if cfg.To == "" {
		return nil, nil
	}
	s.queue = logqueue.New(logqueue.Options{To: to, Lost: func(lines, bytes uint64) {
		a.log.Warn("access log lines were lost: they were not written in time", "lines", lines, "bytes", bytes)
	}})
	return s, nil
}

func (s *accessSink) close() {
	s.queue.Close(logWait)
	if s.file != nil {
		s.file.close()
	}
}

func (s *accessSink) lostEver() uint64 { return s.queue.Lost() }

// reopen has the next line go to the file that has the name now: who rotates files has given
// the one before another. On an error they go on going there.
func (a *accessLog) reopen() error {
	s := a.now.Load()
	if s == nil || s.file == nil {
		return nil
	}
	return s.file.reopen()
}

// write queues a connection's line. On its loop.
func (a *accessLog) write(e *host.ConnEnd) {
	s := a.now.Load()
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
