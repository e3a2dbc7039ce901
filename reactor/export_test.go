package reactor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/internal/tlsrecord"
)

// NewPortableSys lets the suites of reactortest run on the portable Sys.
func NewPortableSys() Sys { return newPortableSys() }

// EndSys is what Reactor.Close does with a Sys.
func EndSys(ctx context.Context, s Sys) {
	if e, ok := s.(interface{ finish(context.Context) }); ok {
		e.finish(ctx)
	}
}

// Address is the network and address of package net for an endpoint.
func Address(e Endpoint) (network, address string) { return e.network(), e.address() }

// CertificateForTest is testCertificate for the external tests.
func CertificateForTest(t testing.TB) (tls.Certificate, *x509.CertPool) { return testCertificate(t) }

// NotAStep is what is logged of a connection whose stages come in another order.
const NotAStep = notAStep

// StepTime is about what a step of a handshake takes.
const StepTime = stepTime

// HasEpoll tells whether the backend is there.
const HasEpoll = runtime.GOOS == "linux"

// NoLookup has no name of Connect resolved: Resolved is to tell its addresses.
func NoLookup(r *Reactor) {
	r.lookup = func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// Resolved tells what the name of a Connect stands for. Loop only.
func Resolved(t Transport, addrs ...netip.Addr) {
	c := t.(*connection)
	c.client.race.resolving = 1
	c.takeAddresses(addrs, nil)
}

// ResolvedOne tells what one family of it is, where the other is still asked for.
func ResolvedOne(t Transport, addrs ...netip.Addr) { t.(*connection).takeAddresses(addrs, nil) }

// Unresolved tells that one family of it can't be had, and why. Loop only.
func Unresolved(t Transport, err error) { t.(*connection).takeAddresses(nil, err) }

// Postponed is how many things wait for the shares of l's owners. Loop only.
func Postponed(l *Loop) int { return l.postponed }

// Remaining is the time until a delayed call, 0 when it is due, has come or was
// cancelled.
func Remaining(t *DelayedCall) time.Duration { return t.Remaining() }

// ProtocolOf is a connection's protocol. Loop only.
func ProtocolOf(t Transport) Protocol { return t.(*connection).proto }

// ListenerOf is the listener that has accepted a connection. Loop only.
func ListenerOf(t Transport) *Listener { return t.(*connection).listener }

// LimitKeys has a connection change its key, and ask its peer for another, after so many
// records; it reports false where crypto/tls has the connection. Loop only.
func LimitKeys(t Transport, most uint64) bool {
	r, ok := t.(*connection).tls.layer.(*records)
	if !ok {
		return false
	}
	s := r.conn.State()
	s.Limit = most
	conn, err := tlsrecord.New(s)
	if err != nil {
		return false
	}
	r.conn = conn
	return true
}

// Awake is how many TLS sessions of a connection's loop have their ciphers.
func Awake(t Transport) int {
	l := t.(*connection).loop
	n := make(chan int, 1)
	if err := l.CallFromThread(func() { n <- len(l.awake) }); err != nil {
		return -1
	}
	return <-n
}

// OutOfFDs tells an error for want of a descriptor.
func OutOfFDs(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
