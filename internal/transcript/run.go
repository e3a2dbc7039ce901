package transcript

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/memnet"
)

// Failure says where a transcript and a guest part.
type Failure struct {
	File string
	Line int
	Cut  string // how the bytes were cut: whole, split at N, byte by byte
	What string // in one line
	More string // both streams, where there are some
}

// Error has place and cut, what went wrong, and more of it in lines below.
func (f *Failure) Error() string {
	s := fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Cut, f.What)
	if f.More != "" {
		s += "\n" + f.More
	}
	return s
}

// Plugin is the guest that transcripts are run against.
type Plugin struct {
	Config config.Plugin // the transcript's config takes the place of Config.Config
	Logger hclog.Logger  // nil = none
	Before func()        // called before each run; nil = nothing
	// Compiler is host.Options.Compiler.
	Compiler []string

	secure    bool // its transcript turns TLS on
	datagrams bool // its transcript sends some
}

// Run runs a transcript whole, split at every offset, and byte by byte. One of
// several connections runs once more, whole, with two event loops that get the
// connections in turn: with isolation loop each has an instance of its own, so
// that a guest notices which relies on one state for all. runs is how often. The
// error is a *Failure, or says why the guest can't be hosted.
func Run(ctx context.Context, p Plugin, t *Transcript) (runs int, err error) {
	cuts := t.cuts()
	loops := 1
	if cuts[len(cuts)-1].spread {
		loops = 2
	}
	s, err := open(ctx, p.For(t), loops)
	if err != nil {
		return 0, err
	}
	for _, c := range cuts {
		if p.Before != nil {
			p.Before()
		}
		if err = ctx.Err(); err == nil {
			err = s.run(t, c)
		}
		if err != nil {
			break
		}
		runs++
	}
	return runs, errors.Join(err, s.Close())
}

// RunWhole runs a transcript once, uncut, against a Server's guest. between,
// where it is not nil, is called before each command.
func (s *Server) RunWhole(t *Transcript, between func() error) error {
	s.between = between
	defer func() { s.between = nil }()
	return s.run(t, cut{name: "whole", before: never})
}

// Server is a guest that transcripts run against, over sockets in memory. One
// goroutine at a time.
type Server struct {
	t     *Transcript
	sys   *memnet.Sys
	h     *host.Host
	cut   cut // of this run
	sent  int
	conns map[string]*conn
	ends  map[string]*memnet.PeerListener // by endpoint: where this run accepts

	sockets map[string]*memnet.DatagramPeer // clients', for datagrams; made when first needed

	began     atomic.Int64 // when this run did, on the reactor's clock, in ns
	isolation config.Isolation
	spread    atomic.Bool        // of this run's cut
	accepted  atomic.Uint32      // connections of this run
	before    map[string]float64 // what counting metrics had when this run began

	authority *authority   // nil = nobody turns TLS on
	between   func() error // before each step, where there is one
}

// conn is a client's end of a connection.
type conn struct {
	peer     *memnet.Peer
	stream   stream // peer, or TLS over it
	accepted bool   // the guest has made it
	got      []byte // not yet expected
	matched  []byte // expected, and come
	end      error  // io.EOF or ECONNRESET, when it has come
	resetOut bool   // the client has reset it
}

// Name is the guest's, as a plugin, and Address where it listens; nothing leaves
// the process.
const (
	Name    = "test"
	Address = "127.0.0.1:7000"
)

// Open starts a guest on one event loop. It is to be closed.
func Open(ctx context.Context, p Plugin) (*Server, error) { return open(ctx, p, 1) }

func open(ctx context.Context, p Plugin, loops int) (*Server, error) {
	s := &Server{sys: memnet.New(memnet.Options{Buffer: 1 << 20}), isolation: p.Config.Isolation}
	s.began.Store(int64(s.sys.Now()))
	settings, err := s.secure(&p)
	if err != nil {
		return nil, err
	}
	s.h, err = host.New(config.Config{
		Plugins:   map[string]config.Plugin{Name: p.Config},
		Listeners: p.listeners(settings),
		Reactor:   config.Reactor{Loops: loops},
	}, host.Options{Logger: p.Logger, Sys: s.sys, Place: s.place, Wall: s.wall, Compiler: p.Compiler})
	if err == nil {
		err = s.h.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.authority.remove())
	}
	info, err := s.h.Plugin(Name)
	if err == nil && info.State != "active" {
		err = fmt.Errorf("the plugin is %s: %s", info.State, info.Reason)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// wall is the guest's wall clock. It begins each run at the same moment, so that what a
// guest says of the time can be expected.
func (s *Server) wall() time.Time {
	const begin = 1767225600 // 2026-01-01T00:00:00Z
	return time.Unix(begin, 0).UTC().Add(s.sys.Now() - time.Duration(s.began.Load()))
}

// Close ends the guest.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // at once
	err := s.h.Shutdown(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.authority.remove())
}

// Settle returns when there is nothing to do until a peer acts or the clock is
// turned.
func (s *Server) Settle() {
	for made := s.h.AwaitStarts(); ; {
		s.sys.Settle()
		again := s.h.AwaitStarts()
		if again == made {
			return
		}
		made = again
	}
}

// Host runs the guest, under Name.
func (s *Server) Host() *host.Host { return s.h }

// Sys is where its sockets are. It listens at Address. Its Settle does not wait for
// an instance that is being started, the Server's does.
func (s *Server) Sys() *memnet.Sys { return s.sys }

// run runs the transcript once, with an instance that has seen nothing.
func (s *Server) run(t *Transcript, c cut) (err error) {
	s.t = t
	s.cut, s.sent, s.conns = c, 0, map[string]*conn{}
	s.spread.Store(c.spread)
	s.accepted.Store(0)
	if s.before, err = s.counted(); err == nil {
		err = s.listen()
	}
	for n := 0; err == nil && n < len(s.t.steps); n++ {
		if s.between != nil {
			err = s.between()
		}
		if err == nil {
			err = s.do(s.t.steps[n])
		}
	}
	if err == nil {
		err = s.over()
	}
	err = errors.Join(err, s.endListening(err == nil), s.endSockets(err == nil))
	for _, c := range s.conns {
		c.peer.Reset()
	}
	s.Settle()
	s.began.Store(int64(s.sys.Now()))
	return errors.Join(err, s.h.Renew(Name))
}

func (s *Server) fail(line int, what, more string) error {
	if s.cut.spread && (s.isolation == "" || s.isolation == config.IsolationLoop) {
		if more != "" {
			more += "\n"
		}
		more += "  with isolation loop each event loop has an instance, and so a factory, of its own;\n" +
			"  where connections have to share a state, serve and test the plugin with isolation shared"
	}
	return &Failure{s.t.File, line, s.cut.name, what, more}
}

// conn is a step's connection, opened where it is new.
func (s *Server) conn(name string, line int) (*conn, error) {
	if c := s.conns[name]; c != nil {
		return c, nil
	}
	peer, err := s.sys.Dial("tcp", Address)
	if err != nil {
		return nil, s.fail(line, "connect: "+err.Error(), "")
	}
	c := &conn{peer: peer, stream: peer}
	s.conns[name] = c
	s.Settle()
	return c, nil
}

func (s *Server) do(st step) error {
	if is, err := s.aside(st); is {
		return err
	}
	if st.verb == verbConnect {
		if old := s.conns[st.conn]; old != nil {
			if err := s.nothing(old, st.line); err != nil {
				return err
			}
			old.peer.Reset()
			delete(s.conns, st.conn)
		}
	}
	c, err := s.conn(st.conn, st.line)
	if err != nil {
		return err
	}
	switch st.verb {
	case verbSend:
		return s.send(c, st)
	case verbClose:
		err = errors.Join(c.stream.CloseWrite(), c.peer.CloseWrite())
	case verbTLS:
		return s.startTLS(c, st)
	case verbReset:
		c.peer.Reset()
		c.resetOut = true
	case verbExpect:
		return s.expect(c, st)
	case verbExpectNothing:
		return s.nothing(c, st.line)
	case verbExpectClose:
		return s.ended(c, st.line, io.EOF)
	case verbExpectReset:
		return s.ended(c, st.line, syscall.ECONNRESET)
	}
	s.Settle()
	if err != nil {
		return s.fail(st.line, err.Error(), "")
	}
	return nil
}

// send sends the step's bytes, cut where this run cuts.
func (s *Server) send(c *conn, st step) error {
	for data := st.data; len(data) > 0; {
		n := 1
		for n < len(data) && !s.cut.before(s.sent+n) {
			n++
		}
		for piece := data[:n]; len(piece) > 0; {
			wrote, err := c.stream.Write(piece)
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return s.fail(st.line, fmt.Sprintf("the guest does not read: %d bytes are left to send", len(piece)),
					"")
			case err != nil:
				return s.fail(st.line, fmt.Sprintf("send: %v, after %d bytes", err, s.sent), "")
			}
			piece = piece[wrote:]
			s.sent += wrote
			s.Settle()
			c.read()
		}
		data = data[n:]
	}
	return nil
}

// read takes what has come.
func (c *conn) read() {
	buf := make([]byte, 64<<10)
	for c.end == nil {
		n, err := c.stream.Read(buf)
		c.got = append(c.got, buf[:n]...)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EAGAIN):
			return
		default:
			c.end = err
		}
	}
}

// pull reads until nothing more comes.
func (s *Server) pull(c *conn) {
	for {
		before := len(c.got)
		s.Settle()
		c.read()
		if len(c.got) == before {
			return
		}
	}
}

func (s *Server) expect(c *conn, st step) error {
	s.pull(c)
	if bytes.HasPrefix(c.got, st.data) {
		c.matched = append(c.matched, st.data...)
		c.got = c.got[len(st.data):]
		return nil
	}
	at := 0
	for at < len(c.got) && c.got[at] == st.data[at] {
		at++
	}
	what := fmt.Sprintf("the streams part after %d bytes", len(c.matched)+at)
	switch {
	case at == len(c.got) && at > 0:
		what = fmt.Sprintf("the guest sent %d of %d bytes", at, len(st.data))
	case len(c.got) == 0 && c.end == nil:
		what = "the guest does not answer"
	case len(c.got) == 0:
		what = "the connection ended: " + endText(c.end)
	}
	return s.fail(st.line, what, c.both(st.data, at))
}

func (s *Server) nothing(c *conn, line int) error {
	s.pull(c)
	if len(c.got) > 0 {
		return s.fail(line, "the guest sent what is not expected", c.both(nil, 0))
	}
	return nil
}

func (s *Server) ended(c *conn, line int, want error) error {
	if err := s.nothing(c, line); err != nil {
		return err
	}
	switch {
	case c.end == nil:
		return s.fail(line, "the connection is still open, wanted "+endText(want), "")
	case !errors.Is(c.end, want):
		return s.fail(line, "found "+endText(c.end)+", wanted "+endText(want), "")
	}
	return nil
}

// over looks for what nobody expected.
func (s *Server) over() error {
	line := s.t.steps[len(s.t.steps)-1].line
	for _, c := range s.conns {
		if c.resetOut {
			continue
		}
		if err := s.nothing(c, line); err != nil {
			return err
		}
	}
	return nil
}

func endText(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "an orderly close"
	case errors.Is(err, syscall.ECONNRESET):
		return "a reset"
	}
	return err.Error()
}

// both shows what is wanted next and what came, with the end of what came before,
// and a mark below where they part: at bytes on.
func (c *conn) both(want []byte, at int) string {
	const before, after = 30, 40
	at += len(c.matched)
	from := max(0, at-before)
	more := ""
	if from > 0 {
		more = "… "
	}
	show := func(next []byte) string {
		b := slices.Concat(c.matched, next)
		s := more + strconv.Quote(string(b[from:min(len(b), at+after)]))
		if len(b) > at+after {
			s += fmt.Sprintf(" and %d bytes more", len(b)-at-after)
		}
		return s
	}
	same := slices.Concat(c.matched, c.got)[from:at]
	mark := utf8.RuneCountInString(more+strconv.Quote(string(same))) - 1
	return "  wanted " + show(want) + "\n  found  " + show(c.got) + "\n  " + strings.Repeat(" ", len("wanted ")+mark) +
		"^"
}
