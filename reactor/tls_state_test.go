package reactor

import (
	"crypto/tls"
	"testing"
)

// TestStateCanStartTLS: the bit is set where StartTLS is possible, and nowhere else.
func TestStateCanStartTLS(t *testing.T) {
	cert, _ := testCertificate(t)
	certified := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, tc := range []struct {
		name, endpoint string
		tls            *tls.Config
		before         func(Transport)
		want           bool
	}{
		{"with a certificate", "tcp://127.0.0.1:0", certified, func(Transport) {}, true},
		{"on a Unix socket", "unix://" + t.TempDir() + "/s", certified, func(Transport) {}, true},
		{"without one", "tcp://127.0.0.1:0", nil, func(Transport) {}, false},
		{"with TLS on", "tls://127.0.0.1:0", certified, func(Transport) {}, false},
		{"begun", "tcp://127.0.0.1:0", certified, func(tr Transport) { tr.StartTLS() }, false},
		{"closing", "tcp://127.0.0.1:0", certified, Transport.LoseConnection, false},
		{"half closed", "tcp://127.0.0.1:0", certified, Transport.LoseWriteConnection, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			done := make(chan struct{})
			f := factoryFunc(func(Transport) (Protocol, error) {
				return &protocolFuncs{made: func(tr Transport) {
					defer close(done)
					tc.before(tr)
					can := tr.State()&StateCanStartTLS != 0
					if err := tr.StartTLS(); can != tc.want || can != (err == nil) {
						t.Errorf("found the bit %t, and StartTLS: %v; wanted %t", can, err, tc.want)
					}
					if tr.State()&StateCanStartTLS != 0 {
						t.Error("found the bit after StartTLS")
					}
					tr.AbortConnection()
				}}, nil
			})
			_, ln := serve(t, Config{Loops: 1}, tc.endpoint, f, ListenOptions{Loop: -1, TLS: tc.tls})
			dialBriefly(t, ln)
			<-done
		})
	}
}

// TestOutgoingCantStartTLS: nor is it set on a connection of ours.
func TestOutgoingCantStartTLS(t *testing.T) {
	r, ln := serve(t, Config{Loops: 1}, "tcp://127.0.0.1:0", factoryFunc(echo), ListenOptions{Loop: -1})
	state := make(chan State, 1)
	p := &client{failed: make(chan Reason, 1)}
	p.made = func(tr Transport) { state <- tr.State(); tr.AbortConnection() }
	err := r.Loops()[0].CallFromThread(func() { r.Loops()[0].Connect(ln.Endpoint(), p, ConnectOptions{}) })
	if err != nil {
		t.Fatal(err)
	}
	if s := <-state; s != StateOutgoing {
		t.Errorf("found state %b", s)
	}
}
