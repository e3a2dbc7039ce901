package sdktest

import (
	"math"
	"regexp"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// imports are a server's methods of wirehost.Host: what the plugin calls.
type imports struct{ *Server }

const ok = 0

func status(s wirehost.Status) int32 { return int32(s) }

// find looks up a connection for a call that changes something. Inside its last
// callback writes return 0, and everything else finds nothing.
func (s *Server) find(conn int32) (*Conn, int32) {
	s.Calls++
	if s.phase != running {
		return nil, status(wirehost.ErrNotNow)
	}
	c := s.conns[conn]
	if c == nil || c.pending || c.ended {
		return nil, status(wirehost.ErrNoConnection)
	}
	return c, ok
}

func (s imports) Write(conn int32, p []byte) int32 { return s.write(conn, [][]byte{p}) }

func (s imports) WriteSequence(conn int32, parts [][]byte) int32 {
	if len(parts) > 1024 {
		return status(wirehost.ErrInvalid)
	}
	return s.write(conn, parts)
}

func (s *Server) write(conn int32, parts [][]byte) int32 {
	s.Calls++
	s.Writes++
	if s.phase == saving {
		return status(wirehost.ErrNotNow)
	}
	c := s.conns[conn]
	if c == nil || c.pending {
		return status(wirehost.ErrNoConnection)
	}
	closing := c.half || c.bits&(wirehost.StateClosing|wirehost.StateWriteClosed) != 0
	if c.ended || c.aborted || closing && !c.push && !c.pull {
		return 0
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if s.phase >= starting {
		s.held = append(s.held, func() { c.put(all) })
		return int32(c.queued)
	}
	return c.put(all)
}

// put queues output.
func (c *Conn) put(p []byte) int32 {
	s := c.server
	if c.queued+len(p) > s.options.Max {
		c.abort(wirehost.OverLimit)
		return status(wirehost.ErrTooBig)
	}
	c.out = append(c.out, p...)
	c.queued += len(p)
	if len(p) > 0 {
		c.fed = true
		c.active()
	}
	if c.queued > s.options.High && c.push && !c.throttled {
		c.throttled = true
		s.later(func() {
			if c.push && !c.ended {
				s.guest.PauseProducing(c.handle)
			}
		})
	}
	n := c.queued
	if !c.stalled {
		s.later(c.settleOnce)
	}
	return int32(n)
}

// settleOnce is settle for output that left by itself: a pull producer is
// already asked by what made it write.
func (c *Conn) settleOnce() {
	if c.ended || c.pending {
		return
	}
	c.queued = 0
	if !c.pull {
		c.settle()
	}
}

func (c *Conn) abort(reason wirehost.Reason) {
	c.bits |= wirehost.StateClosing
	c.aborted = true
	c.queued = 0
	c.server.later(func() { c.lose(reason) })
}

func (s imports) LoseConnection(conn int32) int32 {
	if c := s.conns[conn]; c != nil && c.pending && s.phase == running {
		s.Calls++
		s.later(func() { c.fail(wirehost.Aborted) })
		return ok
	}
	if k := s.socketOf(conn); k != nil && s.phase == running {
		k.close(wirehost.Done)
		return ok
	}
	c, code := s.find(conn)
	if c != nil && c.bits&wirehost.StateClosing == 0 {
		c.bits |= wirehost.StateClosing
		c.input = nil
		s.later(c.finishClosing)
	}
	return code
}

func (s imports) LoseWriteConnection(conn int32) int32 {
	c, code := s.find(conn)
	if c != nil && c.bits&wirehost.StateWriteClosed == 0 {
		if c.half = true; !c.push && !c.pull {
			c.bits |= wirehost.StateWriteClosed
		}
		s.later(c.finishClosing)
	}
	return code
}

func (s imports) AbortConnection(conn int32) int32 {
	if c := s.conns[conn]; c != nil && c.pending {
		return s.LoseConnection(conn)
	}
	if k := s.socketOf(conn); k != nil && s.phase == running {
		k.close(wirehost.Aborted)
		return ok
	}
	c, code := s.find(conn)
	if c != nil {
		c.abort(wirehost.Aborted)
	}
	return code
}

func (s imports) PauseProducing(conn int32) int32 {
	if k := s.socketOf(conn); k != nil && s.phase == running {
		return k.pause(true)
	}
	c, code := s.find(conn)
	if c != nil {
		c.bits |= wirehost.StatePaused
	}
	return code
}

func (s imports) ResumeProducing(conn int32) int32 {
	if k := s.socketOf(conn); k != nil && s.phase == running {
		return k.pause(false)
	}
	c, code := s.find(conn)
	if c != nil {
		c.bits &^= wirehost.StatePaused
		s.later(c.deliver)
	}
	return code
}

func (s imports) RegisterProducer(conn int32, streaming bool) int32 {
	c, code := s.find(conn)
	switch {
	case c == nil:
		return code
	case c.push || c.pull:
		return status(wirehost.ErrBusy)
	case streaming:
		c.push, c.throttled = true, false
	default:
		c.pull = true
		c.fed = c.stalled && c.queued > 0 // it is asked when that has gone
		if !c.fed {
			s.later(c.ask)
		}
	}
	c.bits |= wirehost.StateProducer
	return ok
}

// ask has a pull producer, which was registered with nothing queued, write.
func (c *Conn) ask() {
	if c.pull && !c.ended {
		c.server.guest.ResumeProducing(c.handle)
		if !c.stalled {
			c.server.later(c.settle)
		}
	}
}

func (s imports) UnregisterProducer(conn int32) int32 {
	c, code := s.find(conn)
	if c != nil {
		c.push, c.pull = false, false
		c.bits &^= wirehost.StateProducer
		s.later(c.finishClosing)
	}
	return code
}

func (s imports) SetTimeout(conn, ms int32) int32 {
	c, code := s.find(conn)
	if c == nil {
		return code
	}
	if ms < 0 {
		return status(wirehost.ErrInvalid)
	}
	c.idle = ms
	c.active()
	return ok
}

func (s *Server) option(conn int32) int32 {
	_, code := s.find(conn)
	return code
}

func (s imports) SetTCPNoDelay(conn int32, on bool) int32   { return s.option(conn) }
func (s imports) SetTCPKeepAlive(conn int32, on bool) int32 { return s.option(conn) }

func (s imports) StartTLS(conn int32) int32 {
	c, code := s.find(conn)
	switch {
	case c == nil:
		return code
	case c.bits&wirehost.StateTLS != 0:
		return status(wirehost.ErrBusy)
	case c.State()&wirehost.StateCanStartTLS == 0:
		return status(wirehost.ErrNotSupported)
	}
	c.shake()
	return ok
}

// shake begins TLS.
func (c *Conn) shake() {
	c.bits |= wirehost.StateTLS
	c.shaking = true
	c.server.later(c.deliver)
}

func (s imports) HandOver(conn int32, plugin string, first []byte) int32 {
	c, code := s.find(conn)
	switch {
	case c == nil:
		return code
	case s.options.Deny:
		return status(wirehost.ErrNotAllowed)
	case c.bits&wirehost.StateOutgoing != 0:
		return status(wirehost.ErrNotSupported)
	case c.bits&wirehost.StateProducer != 0 || c.shaking:
		return status(wirehost.ErrBusy)
	case c.bits&wirehost.StateClosing != 0:
		return status(wirehost.ErrNoConnection)
	}
	c.bits |= wirehost.StateClosing
	c.input = nil
	c.HandedTo, c.HandedFirst = plugin, append([]byte{}, first...)
	s.later(func() { c.lose(wirehost.HandedOver) })
	return ok
}

func (s imports) StartTLSClient(conn int32, name string) int32 {
	c, code := s.find(conn)
	switch {
	case c == nil:
		return code
	case name == "":
		return status(wirehost.ErrInvalid)
	case c.bits&wirehost.StateTLS != 0:
		return status(wirehost.ErrBusy)
	case c.bits&(wirehost.StateClosing|wirehost.StateWriteClosed) != 0:
		return status(wirehost.ErrNotSupported)
	}
	c.shake()
	return ok
}

// CallLater, Cancel and Reset are the plugin's timers.

func (s imports) CallLater(ms int32) int32 {
	s.Calls++
	switch {
	case s.phase == saving:
		return status(wirehost.ErrNotNow)
	case ms < 0:
		return status(wirehost.ErrInvalid)
	}
	s.serial++
	handle := s.serial
	t := &timer{handle: handle, call: func() { s.guest.DelayedCall(handle) }}
	add := func() { s.at(t, time.Duration(ms)*time.Millisecond) }
	if s.phase >= starting {
		s.held = append(s.held, add)
	} else {
		add()
	}
	return handle
}

func (s imports) Cancel(handle int32) int32 {
	s.Calls++
	if s.phase != running {
		return status(wirehost.ErrNotNow)
	}
	if _, found := s.drop(handle); !found || handle <= 0 {
		return status(wirehost.ErrNoTimer)
	}
	return ok
}

func (s imports) Reset(handle, ms int32) int32 {
	s.Calls++
	if s.phase != running {
		return status(wirehost.ErrNotNow)
	}
	if ms < 0 {
		return status(wirehost.ErrInvalid)
	}
	t, found := s.drop(handle)
	if !found || handle <= 0 {
		return status(wirehost.ErrNoTimer)
	}
	s.at(t, time.Duration(ms)*time.Millisecond)
	return ok
}

func (s imports) Time() float64 { return begin + s.Seconds() }

func (s imports) Random(buf []byte) int32 {
	s.Calls++
	if len(buf) > 64<<10 {
		return status(wirehost.ErrInvalid)
	}
	if _, err := s.random.Read(buf); err != nil { // it never fails
		return status(wirehost.ErrInvalid)
	}
	return ok
}

func (s imports) Connect(endpoint string, ms int32) int32 {
	code := s.refusal(endpoint, "")
	switch {
	case s.phase == starting:
		return status(wirehost.ErrNotNow)
	case code < 0:
		return code
	case endpoint == "" || ms < 0:
		return status(wirehost.ErrInvalid)
	}
	c := s.open(wirehost.StateOutgoing)
	c.Endpoint, c.pending = endpoint, true
	if ms > 0 {
		s.at(&timer{handle: -c.handle, call: func() { c.fail(wirehost.Timeout) }}, time.Duration(ms)*time.Millisecond)
	}
	return c.handle
}

// refusal is what the server answers to who asks for an endpoint that it can't have now, or
// that does not begin with prefix; 0 else.
func (s *Server) refusal(endpoint, prefix string) int32 {
	s.Calls++
	switch {
	case s.phase == saving, s.phase == restoring:
		return status(wirehost.ErrNotNow)
	case s.options.Deny:
		return status(wirehost.ErrNotAllowed)
	case !strings.HasPrefix(endpoint, prefix):
		return status(wirehost.ErrInvalid)
	}
	return ok
}

func (s imports) ConnectAs(conn int32, endpoint string, ms int32) int32 {
	as := s.conns[conn]
	if as == nil || as.pending {
		s.Calls++
		return status(wirehost.ErrNoConnection)
	}
	handle := s.Connect(endpoint, ms)
	if handle > 0 {
		s.conns[handle].As = as
	}
	return handle
}

// getter looks up a connection for a call that only asks.
func (s *Server) getter(conn int32) *Conn {
	s.Calls++
	if c := s.conns[conn]; c != nil && !c.pending {
		return c
	}
	return nil
}

func (s imports) State(conn int32) int32 {
	if k := s.socketOf(conn); k != nil && !k.pending {
		return ok
	}
	c := s.getter(conn)
	if c == nil {
		return status(wirehost.ErrNoConnection)
	}
	return int32(c.State())
}

// text answers a getter.
func (s *Server) text(conn int32, buf []byte, get func(*Conn) string) int32 {
	c := s.getter(conn)
	if c == nil {
		return status(wirehost.ErrNoConnection)
	}
	return fill(buf, get(c))
}

func fill(buf []byte, text string) int32 {
	if len(text) <= len(buf) {
		copy(buf, text)
	}
	return int32(len(text))
}

func (s imports) GetPeer(conn int32, buf []byte) int32 {
	if k := s.socketOf(conn); k != nil && !k.pending {
		return fill(buf, k.peer())
	}
	return s.text(conn, buf, func(c *Conn) string { return c.peer })
}

func (s imports) GetHost(conn int32, buf []byte) int32 {
	if k := s.socketOf(conn); k != nil && !k.pending {
		return fill(buf, k.Endpoint)
	} else if p := s.portOf(conn); p != nil {
		return fill(buf, p.Endpoint)
	}
	return s.text(conn, buf, func(c *Conn) string { return c.host })
}

func (s imports) GetPeerCertificate(conn int32, buf []byte) int32 {
	return s.text(conn, buf, func(c *Conn) string { return string(c.cert) })
}

func (s imports) NegotiatedProtocol(conn int32, buf []byte) int32 {
	return s.text(conn, buf, func(c *Conn) string { return c.alpn })
}

func (s imports) Reason(conn int32, buf []byte) int32 {
	if c := s.getter(conn); c == nil {
		return status(wirehost.ErrNoConnection)
	} else if c != s.inside {
		return status(wirehost.ErrInvalid)
	} else {
		return fill(buf, c.reason.String())
	}
}

func (s imports) Config(buf []byte) int32 {
	s.Calls++
	return fill(buf, s.options.Config)
}

func (s imports) Emit(level int32, text string) int32 {
	s.Calls++
	if level < 0 || level > int32(wirehost.LevelError) {
		return status(wirehost.ErrInvalid)
	}
	s.Lines = append(s.Lines, Line{wirehost.Level(level), text})
	return ok
}

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$`) // never changed

func (s imports) Define(kind int32, name string) int32 {
	s.Calls++
	if kind < int32(wirehost.Counter) || kind > int32(wirehost.Histogram) || !metricName.MatchString(name) ||
		strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum") {
		return status(wirehost.ErrInvalid)
	}
	for n, m := range s.metrics {
		switch {
		case m.name != name:
		case m.kind != wirehost.MetricKind(kind):
			return status(wirehost.ErrBusy)
		default:
			return int32(n + 1)
		}
	}
	const most = 100 // what limits.metrics is by itself
	if len(s.metrics) >= most {
		return status(wirehost.ErrTooBig)
	}
	s.metrics = append(s.metrics, &metric{kind: wirehost.MetricKind(kind), name: name})
	return int32(len(s.metrics))
}

func (s imports) Record(id int32, value float64) int32 {
	s.Calls++
	if id < 1 || int(id) > len(s.metrics) || math.IsNaN(value) || math.IsInf(value, 0) {
		return status(wirehost.ErrInvalid)
	}
	switch m := s.metrics[id-1]; {
	case m.kind == wirehost.Gauge:
		m.value = value
	case m.kind == wirehost.Counter && value < 0:
		return status(wirehost.ErrInvalid)
	default:
		m.value += value
	}
	return ok
}
