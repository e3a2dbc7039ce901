package reactor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"testing"
)

// NewPortableSys lets the suites of reactortest run on the portable Sys.
func NewPortableSys() Sys { return newPortableSys() }

// EndSys is what Reactor.Close does with a Sys.
func EndSys(ctx context.Context, s Sys) {
	if e, ok := s.(interface{ end(context.Context) }); ok {
		e.end(ctx)
	}
}

// Address is the network and address of package net for an endpoint.
func Address(e Endpoint) (network, address string) { return e.network(), e.address() }

// CertificateForTest is testCertificate for the external tests.
func CertificateForTest(t testing.TB) (tls.Certificate, *x509.CertPool) { return testCertificate(t) }

// HasEpoll tells whether the backend is there.
const HasEpoll = runtime.GOOS == "linux"
