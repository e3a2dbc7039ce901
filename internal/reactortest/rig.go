package reactortest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// rig is a row's server, its control connection and what came over it.
type rig struct {
	t       *testing.T
	b       Backend
	s       *Server
	control *client
	ended   chan struct{} // closed when the control connection is
	mu      sync.Mutex
	events  map[string]chan string // by connection number; pong
	dialled int
	pings   int
}

// client is the test's end of a connection.
type client struct {
	net.Conn          // TLS where the backend is
	raw      net.Conn // under it
	t        *testing.T
	number   int
}

func newRig(t *testing.T, b Backend, s *Server, shared bool) *rig {
	t.Helper()
	r := &rig{t: t, b: b, s: s, ended: make(chan struct{}), events: map[string]chan string{}}
	r.control = r.connect()
	r.control.SetDeadline(time.Time{})
	if shared {
		t.Cleanup(r.part)
	}
	go func() {
		defer close(r.ended)
		lines := bufio.NewScanner(r.control)
		for lines.Scan() {
			number, event, _ := strings.Cut(lines.Text(), " ")
			r.queue(number) <- event
		}
	}()
	r.sync()
	return r
}

// part ends the control connection, and with it the script, when the row's other
// clients have closed.
func (r *rig) part() {
	r.control.finish()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Error("the control connection does not end")
	}
}

func (r *rig) queue(number string) chan string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events[number] == nil {
		r.events[number] = make(chan string, 1<<16)
	}
	return r.events[number]
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) connect() *client {
	r.t.Helper()
	raw, err := r.s.Dial()
	if errors.Is(err, syscall.ECONNRESET) { // aborted before we heard that we are connected
		raw, err = deadConn{}, nil
	}
	r.must(err)
	c := &client{Conn: raw, raw: raw, t: r.t}
	r.t.Cleanup(func() { c.raw.Close() })
	r.must(c.SetDeadline(time.Now().Add(patience)))
	if r.s.Client != nil {
		c.secure(r.s.Client, r.b.Cut)
	}
	return c
}

// deadConn is a connection that was reset.
type deadConn struct{ net.Conn }

func (deadConn) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

func (deadConn) Write([]byte) (int, error) { return 0, syscall.ECONNRESET }

func (deadConn) Close() error { return nil }

func (deadConn) SetDeadline(t time.Time) error { return nil }

// secure begins TLS on c.
func (c *client) secure(cfg *tls.Config, cut bool) {
	under := c.raw
	if cut {
		under = cutConn{under}
	}
	tc := tls.Client(under, cfg)
	c.Conn = tc
	go tc.Handshake() // its error is that of the next call
}

// cutConn cuts what is written.
type cutConn struct{ net.Conn }

func (c cutConn) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		n := 1
		if sent >= 5 { // behind the header of the record that is at the front
			n = (len(b) - sent + 1) / 2
		}
		n, err := c.Conn.Write(b[sent : sent+n])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// dial makes a connection. Its protocol may not be made yet.
func (r *rig) dial() *client {
	r.t.Helper()
	r.sync() // what was sent holds for it
	c := r.connect()
	r.dialled++
	c.number = r.dialled
	return c
}

// made is dial, and waits until the protocol is made, and TLS is up.
func (r *rig) made() *client {
	r.t.Helper()
	c := r.dial()
	r.want(c, "made")
	r.wantHandshake(c)
	return c
}

// send gives the script its lines.
func (r *rig) send(format string, args ...any) {
	r.t.Helper()
	_, err := fmt.Fprintf(r.control, format+"\n", args...)
	r.must(err)
}

// do has the protocol of c do a command now.
func (r *rig) do(c *client, command string, args ...any) {
	r.t.Helper()
	r.send("%d %s", c.number, fmt.Sprintf(command, args...))
}

// write has the protocol of c write n bytes of the pattern, and returns what of
// them is left queued.
func (r *rig) write(c *client, n int) (queued int) {
	r.t.Helper()
	r.do(c, "write %d", n)
	return r.wantWrote(c)
}

// sync waits until the loop has gone through a whole turn: what was due before
// has happened.
func (r *rig) sync() {
	r.t.Helper()
	for range 2 {
		r.pings++
		r.send("ping %d", r.pings)
		select {
		case <-r.queue("pong"):
		case <-time.After(patience):
			r.t.Fatal("the control connection does not answer")
		}
	}
}

// pass lets d go by, where a test can turn the clock.
func (r *rig) pass(d time.Duration) {
	if r.s.Advance != nil {
		r.sync()
		r.s.Advance(d)
		r.sync()
	}
}

// next is the next event of c.
func (r *rig) next(c *client) string {
	r.t.Helper()
	select {
	case e := <-r.queue(fmt.Sprint(c.number)):
		return e
	case <-time.After(patience):
		r.t.Fatalf("connection %d: nothing was told", c.number)
		return ""
	}
}

// want wants c's next events.
func (r *rig) want(c *client, events ...string) {
	r.t.Helper()
	for _, want := range events {
		if e := r.next(c); e != want {
			r.t.Fatalf("connection %d: found %q, wanted %q", c.number, e, want)
		}
	}
}

// wantHandshake wants TLS to be up, where there is TLS.
func (r *rig) wantHandshake(c *client) {
	r.t.Helper()
	if r.b.TLS {
		r.want(c, "handshake")
	}
}

// lost is what is told of a loss.
func lost(reason reactor.Reason) string { return fmt.Sprintf("lost %d", reason) }

// wantWrote wants a write to have been taken, and returns what it left queued.
func (r *rig) wantWrote(c *client) (queued int) {
	r.t.Helper()
	e := r.next(c)
	if n, err := fmt.Sscanf(e, "wrote %d", &queued); n != 1 || err != nil {
		r.t.Fatalf("connection %d: found %q, wanted wrote", c.number, e)
	}
	return queued
}

// wantData wants exactly the bytes p, in pieces of at most 64 KiB.
func (r *rig) wantData(c *client, p []byte) {
	r.t.Helper()
	for total := 0; total < len(p); {
		var n int
		var sum uint32
		e := r.next(c)
		if k, err := fmt.Sscanf(e, "data %d %d %d", &n, &total, &sum); k != 3 || err != nil || n < 1 || n > 64<<10 {
			r.t.Fatalf("connection %d: found %q, wanted data, after %d of %d bytes", c.number, e, total, len(p))
		}
		if strings.HasSuffix(e, "nested") || total > len(p) || sum != crc32.ChecksumIEEE(p[:total]) {
			r.t.Fatalf("connection %d: found %q: other bytes than were sent", c.number, e)
		}
	}
}

// wantQuiet wants nothing to have been told of c.
func (r *rig) wantQuiet(c *client) {
	r.t.Helper()
	r.sync()
	select {
	case e := <-r.queue(fmt.Sprint(c.number)):
		r.t.Fatalf("connection %d: found %q, wanted nothing", c.number, e)
	default:
	}
}

// wantLost wants c's loss, and nothing after it.
func (r *rig) wantLost(c *client, reason reactor.Reason) {
	r.t.Helper()
	r.want(c, lost(reason))
	r.wantQuiet(c)
}

// wantLastWords wants the first 1000 bytes and the end of a peer that has half-closed, which then
// gets its answer.
func (r *rig) wantLastWords(c *client) {
	r.t.Helper()
	r.wantData(c, script.Pattern(0, 1000))
	r.want(c, "readlost")
	r.write(c, 5000)
	r.do(c, "lose")
	c.wantAll(5000)
	r.wantLost(c, reactor.Done)
}

// refuses gives what wants a connection to refuse a command, with an answer.
func (r *rig) refuses(command, answer string) func(*client) {
	return func(c *client) {
		r.t.Helper()
		r.do(c, "%s", command)
		r.want(c, answer)
	}
}

// start is send, and finish where fin is set, while the test goes on; it waits
// for what is returned.
func (c *client) start(fin bool, pieces ...[]byte) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range pieces {
			if _, err := c.Write(p); err != nil {
				c.t.Errorf("connection %d: sending: %v", c.number, err)
				return
			}
		}
		if fin {
			c.finish()
		}
	}()
	return func() { <-done }
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("connection %d: sending: %v", c.number, err)
	}
}

// finish closes the client's writing side: with close_notify, and FIN.
func (c *client) finish() {
	c.t.Helper()
	type closer interface{ CloseWrite() error }
	if tc, ok := c.Conn.(*tls.Conn); ok {
		if err := errors.Join(tc.Handshake(), tc.CloseWrite()); err != nil {
			c.t.Errorf("connection %d: close_notify: %v", c.number, err)
		}
	}
	err := c.raw.(closer).CloseWrite()
	if err != nil && !errors.Is(err, syscall.ENOTCONN) { // reset since, for the close_notify
		c.t.Errorf("connection %d: closing the writing side: %v", c.number, err)
	}
}

// reset ends the client's side with RST.
func (c *client) reset() {
	switch raw := c.raw.(type) {
	case interface{ Reset() }:
		raw.Reset()
	case interface{ SetLinger(int) error }:
		if err := raw.SetLinger(0); err != nil {
			c.t.Error(err)
		}
	}
	c.raw.Close()
}

// wantAll wants n bytes of the pattern, and then an orderly end.
func (c *client) wantAll(n int) {
	c.t.Helper()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, script.Pattern(0, n)) {
		c.t.Fatalf("connection %d: got %d bytes of %d, first difference at %d, %v", c.number, len(got), n,
			firstDifference(got, script.Pattern(0, n)), err)
	}
}

// wantSome wants the n bytes of the pattern at offset.
func (c *client) wantSome(offset, n int) {
	c.t.Helper()
	got := make([]byte, n)
	k, err := io.ReadFull(c, got)
	if err != nil || !bytes.Equal(got, script.Pattern(offset, n)) {
		c.t.Fatalf("connection %d: got %d bytes of %d, %v", c.number, k, n, err)
	}
}

// wantReset wants an end that is not orderly, or, on Unix sockets, any end.
func (r *rig) wantReset(c *client) {
	r.t.Helper()
	_, err := io.Copy(io.Discard, c)
	switch {
	case r.b.Unix && !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err):
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
	default:
		r.t.Errorf("connection %d: found %v, wanted a reset", c.number, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
