package wirehost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Reactor gives an instance timers, a clock, outgoing connections, its
// configuration and its log.
type Reactor struct{ guest *guest }

// DelayedCall is a call to come (Twisted's IDelayedCall).
type DelayedCall struct {
	guest  *guest
	handle int32
	call   func()
	done   bool // called or cancelled
}

// CallLater calls f once, after d; 0 is the event loop's next turn, after its
// I/O. A delayed call may outlive the connection that made it. An error is a
// Status: ErrInvalid for a negative d or one over 24 days, ErrTooBig over the
// plugin's limit of timers.
func (r *Reactor) CallLater(d time.Duration, f func()) (*DelayedCall, error) {
	n := r.guest.host.CallLater(milliseconds(d))
	if n < 0 {
		return nil, Status(n)
	}
	return r.RestoreCall(n, f), nil
}

// RestoreCall is for RestoreState: a timer moves with its instance, under the
// same handle, and f takes the place of the old version's function.
func (r *Reactor) RestoreCall(handle int32, f func()) *DelayedCall {
	c := &DelayedCall{guest: r.guest, handle: handle, call: f}
	r.guest.timers[handle] = c
	return c
}

// Handle is the number that the server knows the timer by, for SaveState.
func (c *DelayedCall) Handle() int32 { return c.handle }

// Active tells whether the call is still to come.
func (c *DelayedCall) Active() bool { return !c.done }

// Cancel ends a call before it is due. After that, or after the call, it is
// ErrNoTimer.
func (c *DelayedCall) Cancel() error {
	if c.done {
		return ErrNoTimer
	}
	err := statusError(c.guest.host.Cancel(c.handle))
	if err == nil || err == ErrNoTimer {
		c.done = true
		delete(c.guest.timers, c.handle)
	}
	return err
}

// Reset makes the call due at d from now.
func (c *DelayedCall) Reset(d time.Duration) error {
	if c.done {
		return ErrNoTimer
	}
	return statusError(c.guest.host.Reset(c.handle, milliseconds(d)))
}

// Seconds is the reactor's clock. It is monotonic; only differences mean
// something.
func (r *Reactor) Seconds() float64 { return r.guest.host.Seconds() }

// Time is the time of day, UTC, by the server's clock, which may be set back. In a guest
// time.Now asks the same clock; in a test this one is turned with the server's.
func (r *Reactor) Time() time.Time {
	whole, part := math.Modf(r.guest.host.Time())
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// Random fills p with random bytes of the system's, as crypto/rand does; in a test they
// follow from the server's seed.
func (r *Reactor) Random(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), maxRandom)
		if err := statusError(r.guest.host.Random(p[:n])); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// Connect opens a connection to a text endpoint such as tcp://127.0.0.1:5432
// for p. It does not wait: then comes either p.ConnectionMade or
// p.ClientConnectionFailed. Until then the transport's LoseConnection and
// AbortConnection cancel, and its other calls are ErrNoConnection. timeout 0 is
// the server's own. An error is a Status, ErrNotAllowed where the
// configuration does not allow the endpoint; then p is not called at all.
func (r *Reactor) Connect(endpoint string, timeout time.Duration, p ClientProtocol) (*Transport, error) {
	return r.connect(endpoint, timeout, p)
}

func (r *Reactor) connect(endpoint string, timeout time.Duration, p Protocol) (*Transport, error) {
	return r.connected(r.guest.host.Connect(endpoint, milliseconds(timeout)), p)
}

// ConnectAs is Connect, but the plugin behind plugin://NAME sees the peer, the host, the
// certificate and the ALPN of as in place of this plugin's own.
func (r *Reactor) ConnectAs(as *Transport, endpoint string, timeout time.Duration, p ClientProtocol) (
	*Transport, error) {
	return r.connected(r.guest.host.ConnectAs(as.conn, endpoint, milliseconds(timeout)), p)
}

// connected gives the connection of a handle, which may be a status, its protocol.
func (r *Reactor) connected(n int32, p Protocol) (*Transport, error) {
	if n < 0 {
		return nil, Status(n)
	}
	t := &Transport{guest: r.guest, conn: n, is: isPending}
	r.guest.attach(t, p)
	return t, nil
}

// Log writes a line to the server's log. The server cuts long lines and limits
// their rate.
func (r *Reactor) Log(level Level, text string) error {
	return statusError(r.guest.host.Emit(int32(level), text))
}

// Logf is Log with a format.
func (r *Reactor) Logf(level Level, format string, args ...any) error {
	return r.Log(level, fmt.Sprintf(format, args...))
}

// MetricKind says what becomes of what a Metric records.
type MetricKind int32

// Metric is one of the plugin's own metrics, which the server gives Prometheus. All of the
// plugin's instances record into it. It is good as long as the instance, and no state has
// it: after a reload, define it again.
type Metric struct {
	host host
	id   int32
}

// Metric defines a metric, or finds the one that has the name. Prometheus gets the name
// with the plugin's before it. It works wherever Log does. An error is a Status: ErrInvalid
// of a name that Prometheus does not take, ErrBusy where the name stands for another kind,
// ErrTooBig over the configuration's limits.metrics. Call it once, in StartFactory, not for
// each connection.
func (r *Reactor) Metric(kind MetricKind, name string) (Metric, error) {
	id := r.guest.host.Define(int32(kind), name)
	if id < 0 {
		return Metric{}, Status(id)
	}
	return Metric{r.guest.host, id}, nil
}

// Record adds value to a Counter, sets a Gauge to it, or has a Histogram observe it. The
// error is ErrInvalid of the zero Metric, of a value that is NaN or infinite, and of a
// negative one to a Counter.
func (m Metric) Record(value float64) error {
	if m.id == 0 {
		return ErrInvalid
	}
	return statusError(m.host.Record(m.id, value))
}

// ConfigJSON is the plugin's config section as JSON.
func (r *Reactor) ConfigJSON() ([]byte, error) { return grow(1<<10, r.guest.host.Config) }

// Config decodes the plugin's config section into v, a pointer to a struct.
// What the section does not name keeps its value in v. A key that v does not
// have is an error.
func (r *Reactor) Config(v any) error {
	text, err := r.ConfigJSON()
	if err != nil {
		return &fault{"config", err}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &fault{"config", err}
	}
	return nil
}
