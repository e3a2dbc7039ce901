// Package sdktest tests protocols with no server and no socket: a Server holds
// one instance of a plugin in memory, its clock is turned by hand, and a Conn is
// what the peer of a connection sees (Twisted's StringTransport and task.Clock).
//
//	s, err := sdktest.Start(factory{}, sdktest.Options{})
//	c := s.Accept()
//	c.Send("hello\r\n")
//	got := c.Take()
//
// It keeps the promises of the real server: one callback at a time, and what a
// call causes is delivered after the callback has returned, before the method of
// Server or Conn that began it does. Everything belongs to one goroutine.
package sdktest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Options say what the server is like. The zero value is a server with an empty
// configuration, that allows every outgoing connection and has no certificate.
type Options struct {
	Config  string // the plugin's config section as JSON; "" is {}
	Assets  fs.FS  // what the files of the plugin's assets are, such as an fstest.MapFS or os.DirFS; nil = none
	TLS     bool   // StartTLS works
	Stalled bool   // peers do not read until Conn.Drain: output stays queued
	Deny    bool   // Connect, Listen, OpenDatagram and HandOver are not allowed

	Seed [32]byte // what InstanceMade gets, and Reactor.Random's bytes follow from

	// Marks of queued output in bytes, and the hard limit; 0 is 64 KiB, 32 KiB
	// and 16 MiB.
	High, Low, Max int
}

func (o Options) withDefaults() Options {
	if o.Config == "" {
		o.Config = "{}"
	}
	if o.High <= 0 {
		o.High = 64 << 10
	}
	if o.Low <= 0 {
		o.Low = 32 << 10
	}
	if o.Max <= 0 {
		o.Max = 16 << 20
	}
	return o
}

// Line is one line that the plugin logged.
type Line struct {
	Level wirehost.Level
	Text  string
}

// Server is a server with one plugin, in memory.
type Server struct {
	Lines  []Line // logged
	Calls  int    // of the plugin, to the server
	Writes int    // of these, Write and WriteSequence

	options Options
	guest   wirehost.Guest
	conns   map[int32]*Conn
	sockets []*Socket
	anew    []*Socket // in a reload: their states were declined
	ports   []*Port
	moving  []*Port // in a reload: those that the new version may ask for
	free    int     // ports that the system has chosen
	last    int32   // handle of a connection
	now     time.Duration
	timers  []*timer // by due time, then in order of making
	serial  int32    // handle of a timer
	events  []func() // to deliver when the callback has returned
	busy    bool
	phase   phase
	inside  *Conn    // whose ConnectionLost or ClientConnectionFailed runs
	held    []func() // of a restore, until the commit
	metrics []*metric
	random  *rand.ChaCha8
	assets  []asset
}

// phase says what the plugin may do.
type phase int

const (
	running   phase = iota
	saving          // getters, config and log
	starting        // in a reload: these, what opens sockets, and writes and timers, which are held back
	restoring       // the same, but nothing is opened
)

// timer is a call to come: of the plugin where handle is positive, else ours.
type timer struct {
	due    time.Duration
	handle int32
	call   func()
}

// Start makes a server and starts the factory. The error is what the factory
// said.
func Start(f wirehost.Factory, o Options) (*Server, error) {
	s := &Server{options: o.withDefaults(), conns: map[int32]*Conn{}, random: rand.NewChaCha8(o.Seed)}
	if err := s.readAssets(); err != nil {
		return nil, err
	}
	s.guest = wirehost.NewGuest(imports{s}, f)
	s.guest.LogPrefix()
	s.guest.InstanceMade(s.options.Seed[:])
	ok := true
	s.callback(func() { ok = s.guest.StartFactory() == 0 })
	if !ok {
		return nil, fmt.Errorf("start of the factory refused: %s", s.lastLine())
	}
	return s, nil
}

func (s *Server) lastLine() string {
	if len(s.Lines) == 0 {
		return "(nothing logged)"
	}
	return s.Lines[len(s.Lines)-1].Text
}

// Stop stops the factory. Connections are not touched.
func (s *Server) Stop() { s.callback(s.guest.StopFactory) }

// callback calls into the plugin, and then delivers what that caused.
func (s *Server) callback(f func()) {
	if s.busy {
		panic("sdktest: a method of Server or Conn was called from inside a callback")
	}
	s.busy = true
	defer func() { s.busy = false }()
	f()
	for len(s.events) > 0 {
		next := s.events[0]
		s.events = s.events[1:]
		next()
	}
}

// later delivers f after the callback.
func (s *Server) later(f func()) { s.events = append(s.events, f) }

// Accept opens a connection and returns its peer's side, or nil if the factory
// refused it.
func (s *Server) Accept() *Conn { return s.accept(&Port{Endpoint: "tcp://127.0.0.1:7007"}) }

func (s *Server) accept(p *Port) *Conn {
	c := s.open(0)
	c.peer, c.host, c.listener = "tcp://127.0.0.1:50000", p.Endpoint, p.handle
	built := false
	s.callback(func() {
		if built = s.guest.BuildProtocol(c.handle) == 0; built {
			s.guest.ConnectionMade(c.handle)
		}
	})
	if !built {
		delete(s.conns, c.handle)
		return nil
	}
	return c
}

func (s *Server) open(state wirehost.State) *Conn {
	s.last++
	c := &Conn{server: s, handle: s.last, bits: state, stalled: s.options.Stalled}
	s.conns[c.handle] = c
	return c
}

// Outgoing lists the connections that the plugin asked for and that are neither
// made nor failed, oldest first.
func (s *Server) Outgoing() []*Conn {
	var list []*Conn
	for _, c := range s.conns {
		if c.pending {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *Conn) int { return int(a.handle - b.handle) })
	return list
}

// Advance turns the clock on by d and runs what comes due, in order.
func (s *Server) Advance(d time.Duration) {
	end := s.now + d
	for len(s.timers) > 0 && s.timers[0].due <= end {
		t := s.timers[0]
		s.timers = s.timers[1:]
		s.now = max(s.now, t.due)
		s.callback(t.call)
	}
	s.now = end
}

// Seconds is the clock as the plugin reads it: seconds that Advance has turned it
// on, from 0.
func (s *Server) Seconds() float64 { return s.now.Seconds() }

// begin is when a test begins, as the plugin's Reactor.Time has it: in seconds since 1970,
// 2026-01-01T00:00:00Z.
const begin = 1767225600

// metric is one of the plugin's own. Its id is one more than its place.
type metric struct {
	kind  wirehost.MetricKind
	name  string
	value float64
}

// Metric is what the plugin has recorded under a name: a counter's value, a gauge's, or
// the sum of what a histogram has observed. false says that it has not defined it.
func (s *Server) Metric(name string) (float64, bool) {
	for _, m := range s.metrics {
		if m.name == name {
			return m.value, true
		}
	}
	return 0, false
}

// Timers is the number of the plugin's delayed calls to come.
func (s *Server) Timers() int {
	n := 0
	for _, t := range s.timers {
		if t.handle > 0 {
			n++
		}
	}
	return n
}

// Due is how long from now the plugin's next delayed call is due; false without
// one.
func (s *Server) Due() (time.Duration, bool) {
	for _, t := range s.timers {
		if t.handle > 0 {
			return t.due - s.now, true
		}
	}
	return 0, false
}

// at puts a timer in its place.
func (s *Server) at(t *timer, d time.Duration) {
	t.due = s.now + d
	i, _ := slices.BinarySearchFunc(s.timers, t.due+1,
		func(a *timer, due time.Duration) int { return int(a.due - due) })
	s.timers = slices.Insert(s.timers, i, t)
}

// drop takes a timer away, and tells whether it was there.
func (s *Server) drop(handle int32) (*timer, bool) {
	for i, t := range s.timers {
		if t.handle == handle {
			s.timers = slices.Delete(s.timers, i, i+1)
			return t, true
		}
	}
	return nil, false
}

// Reload replaces the plugin by a new version with factory f, as a server does
// with `reload: migrate` and one instance for all: every connection moves or
// none. On an error the old version runs on. A plugin that declines to save any
// connection's state is not moved.
func (s *Server) Reload(f wirehost.Factory) error {
	states, err := s.save()
	if err != nil {
		return err
	}
	old := s.guest
	next := wirehost.NewGuest(imports{s}, f)
	s.guest, s.phase = next, starting
	sockets, ports := slices.Clone(s.sockets), slices.Clone(s.ports)
	s.moving = slices.Clone(ports)
	defer func() { s.phase, s.held, s.moving = running, nil, nil }()
	if err := s.restore(states, old.StateVersion()); err != nil {
		s.guest, s.sockets, s.ports = old, sockets, ports
		return err
	}
	s.phase = running
	s.callback(func() {
		for _, f := range s.held {
			f()
		}
	})
	s.guest = old
	for _, k := range s.anew {
		s.callback(func() { old.StopProtocol(k.handle, wirehost.Replaced) })
	}
	s.callback(old.StopFactory)
	s.guest = next
	for _, k := range s.anew {
		s.callback(func() { next.StartProtocol(k.handle) })
	}
	return nil
}

// state is one saved state.
type state struct {
	conn  int32
	bytes []byte
}

func (s *Server) save() ([]state, error) {
	s.phase, s.anew = saving, nil
	defer func() { s.phase = running }()
	var list []state
	if b, ok := s.guest.SaveState(0); ok {
		list = append(list, state{0, slices.Clone(b)})
	}
	for _, handle := range s.handles() {
		b, ok := s.guest.SaveState(handle)
		if k := s.socketOf(handle); !ok && k != nil && !k.opened {
			s.anew = append(s.anew, k)
			continue
		} else if !ok {
			return nil, fmt.Errorf("connection %d: %w", handle, ErrDeclined)
		}
		list = append(list, state{handle, slices.Clone(b)})
	}
	return list, nil
}

// ErrDeclined means that a protocol does not save its state.
var ErrDeclined = errors.New("saveState declined")

func (s *Server) restore(states []state, version int32) error {
	if s.guest.StartFactory() != 0 {
		return fmt.Errorf("start of the new factory refused: %s", s.lastLine())
	}
	s.phase = restoring
	for _, st := range states {
		room := s.guest.RestoreBuffer(uint32(len(st.bytes)))
		copy(room, st.bytes)
		if s.guest.RestoreState(st.conn, version, room) != 0 {
			return fmt.Errorf("restoreState refused: %s", s.lastLine())
		}
		clear(room) // a protocol that kept it notices
	}
	return nil
}

func (s *Server) handles() []int32 {
	var list []int32
	for h := range s.conns {
		list = append(list, h)
	}
	for _, k := range s.sockets {
		list = append(list, k.handle)
	}
	slices.Sort(list)
	return list
}
