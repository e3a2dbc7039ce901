package wirehost

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Defaults of ReconnectingClientFactory: Twisted's.
const (
	defaultInitialDelay = time.Second
	defaultMaxDelay     = time.Hour
	defaultFactor       = math.E
	defaultJitter       = 0.11962656472 // the molar Planck constant times c, in joule meter per mole
)

// ReconnectingClientFactory keeps one outgoing connection up (Twisted's
// ReconnectingClientFactory): when the connection is lost or could not be made,
// it tries again after a delay that grows by Factor each time. The protocol
// calls ResetDelay when the connection has proved good, and StopTrying to end
// it.
type ReconnectingClientFactory struct {
	Endpoint string          // such as tcp://127.0.0.1:5432
	Timeout  time.Duration   // of one attempt; 0 is the server's
	Build    func() Protocol // for each attempt; nil stops trying

	InitialDelay time.Duration // before the first growth; 0 is 1 s
	MaxDelay     time.Duration // 0 is 1 h
	Factor       float64       // below 1 is e
	Jitter       float64       // standard deviation over the delay; 0 is 0.12, negative none
	MaxRetries   int           // without a ResetDelay; 0 is no limit

	Random func() float64 // normally distributed, mean 0, deviation 1; nil is math/rand/v2's

	reactor *Reactor
	current *Transport // being made, or made
	call    *DelayedCall
	delay   time.Duration
	retries int
	stopped bool
	service *ClientService // that it is of, or nil
}

// connector is one, for who does not need one: the linker leaves it out.
type connector interface {
	connectionMade(t *Transport)
	connectionEnded(t *Transport, reason Reason)
}

// Start makes the first attempt. An error is Connect's, and nothing is tried
// again then. In the StartFactory of a version that replaces another, nothing may
// be connected yet: then the attempt is made when the version has its place,
// unless a connection was adopted.
func (f *ReconnectingClientFactory) Start(r *Reactor) error {
	if f.current != nil || f.call != nil {
		return ErrBusy
	}
	f.reactor = r
	f.ResetDelay()
	err := f.connect()
	if err == ErrNotNow {
		f.call, err = r.CallLater(0, f.again)
	}
	return err
}

// ResetDelay goes back to the first delay and no retries.
func (f *ReconnectingClientFactory) ResetDelay() {
	f.delay, f.retries, f.stopped = f.initialDelay(), 0, false
}

// StopTrying gives up: a connection that is being made is cancelled, one that is
// made stays, and neither is made again before the next Start.
func (f *ReconnectingClientFactory) StopTrying() error {
	f.stopped = true
	var err error
	if f.call != nil {
		err, f.call = f.call.Cancel(), nil
	}
	if t := f.current; t != nil && !t.protocol.base().Connected && t.is&isLost == 0 {
		err = errors.Join(err, t.LoseConnection())
	}
	return err
}

// Adopt is for BuildClientProtocol, which takes over the outgoing connection t
// in a reload: f makes it again when it ends.
func (f *ReconnectingClientFactory) Adopt(t *Transport) {
	f.reactor, f.current, t.connector = t.Reactor(), t, f
	if f.delay == 0 {
		f.delay = f.initialDelay()
	}
}

func (f *ReconnectingClientFactory) connect() error {
	p := f.Build()
	if p == nil {
		f.stopped = true
		if f.service != nil {
			f.service.end()
		}
		return nil
	}
	t, err := f.reactor.connect(f.Endpoint, f.Timeout, p)
	if err != nil {
		return err
	}
	f.current, t.connector = t, f
	return nil
}

// connectionMade is told behind the protocol.
func (f *ReconnectingClientFactory) connectionMade(t *Transport) {
	if f.service != nil && f.current == t && !t.Disconnecting() {
		f.service.connected(t.protocol)
	}
}

// connectionEnded is told of a loss and of a failure.
func (f *ReconnectingClientFactory) connectionEnded(t *Transport, reason Reason) {
	if f.current != t {
		return
	}
	f.current = nil
	if f.service != nil && t.is&isPending != 0 {
		f.service.failed(reason)
	}
	if f.current == nil && f.call == nil { // not started anew
		f.retry()
	}
}

// giveUp ends the trying, and says why.
func (f *ReconnectingClientFactory) giveUp(level Level, why string) {
	f.stopped = true
	f.reactor.guest.report(level, "gave up "+f.Endpoint+why)
	if f.service != nil {
		f.service.end()
	}
}

// retry makes the next attempt after the next delay.
func (f *ReconnectingClientFactory) retry() {
	if f.stopped {
		return
	}
	if f.MaxRetries > 0 && f.retries >= f.MaxRetries {
		f.giveUp(LevelWarn, " after "+itoa(int32(f.retries))+" retries")
		return
	}
	f.retries++
	call, err := f.reactor.CallLater(f.nextDelay(), f.again)
	if err != nil {
		f.giveUp(LevelError, ": "+err.Error())
		return
	}
	f.call = call
}

// again is a retry. What a later one can't mend ends the trying.
func (f *ReconnectingClientFactory) again() {
	if f.call = nil; f.current != nil { // adopted
		return
	}
	switch err := f.connect(); err {
	case nil:
	case ErrTooBig, ErrBusy:
		f.retry()
	default:
		f.giveUp(LevelError, ": "+err.Error())
	}
}

func (f *ReconnectingClientFactory) initialDelay() time.Duration {
	if f.InitialDelay <= 0 {
		return defaultInitialDelay
	}
	return f.InitialDelay
}

// nextDelay grows the delay, and spreads it so that many clients of a server
// that went down do not all come back at once.
func (f *ReconnectingClientFactory) nextDelay() time.Duration {
	most, factor, jitter, random := f.MaxDelay, f.Factor, f.Jitter, f.Random
	if most <= 0 {
		most = defaultMaxDelay
	}
	if factor < 1 {
		factor = defaultFactor
	}
	if jitter == 0 {
		jitter = defaultJitter
	}
	if random == nil {
		random = rand.NormFloat64
	}
	f.delay = time.Duration(min(float64(f.delay)*factor, float64(most)))
	delay := float64(f.delay)
	if jitter > 0 {
		delay += random() * delay * jitter
	}
	return time.Duration(min(max(delay, 0), float64(most)))
}
