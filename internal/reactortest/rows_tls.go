package reactortest

import (
	"crypto/tls"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

// plain makes a connection without TLS whose protocol is made.
func (r *rig) plain() *client {
	r.t.Helper()
	if r.b.TLS {
		r.t.Skip("TLS is on from the beginning")
	}
	c := r.dial()
	r.want(c, "made")
	return c
}

// rowStartTLSClient: an accepted connection whose other end is TLS's server.
func rowStartTLSClient(r *rig) {
	r.send("on data echo")
	c := r.plain()
	r.write(c, 1000)
	r.do(c, "tlsclient localhost")
	r.want(c, "tlsclient begun")
	queued := r.write(c, 500) // it waits for TLS
	if queued < 500 {
		r.t.Errorf("found %d bytes queued, wanted 500", queued)
	}
	c.wantSome(0, 1000)
	c.Conn = tls.Server(c.raw, r.s.Peer)
	c.wantSome(1000, 500)
	r.want(c, "handshake")
	c.send(script.Pattern(0, 100_000))
	r.wantData(c, script.Pattern(0, 100_000))
	c.wantSome(0, 100_000)
	c.finish()
	r.want(c, "readlost")
	r.do(c, "lose")
	r.wantLost(c, reactor.Done)
}

// rowStartTLSClientOther: the server's certificate is for another name.
func rowStartTLSClientOther(r *rig) {
	c := r.plain()
	r.do(c, "tlsclient elsewhere.example")
	r.want(c, "tlsclient begun")
	server := tls.Server(c.raw, r.s.Peer)
	_, err := server.Read(make([]byte, 1)) // the client's last flight is an alert, in TLS 1.3
	if err == nil {
		r.t.Error("the handshake has come to its end")
	}
	r.wantLost(c, reactor.TLSFailure)
}

// rowStartTLSClientMoments: when it can't be asked for.
func rowStartTLSClientMoments(r *rig) {
	refused := r.refuses("tlsclient localhost", "tlsclient error")
	if r.b.TLS {
		refused(r.made())
		return
	}
	c := r.plain()
	r.do(c, "tlsclient localhost")
	r.want(c, "tlsclient begun")
	refused(c) // a handshake runs
	c.Conn = tls.Server(c.raw, r.s.Peer)
	c.send(script.Pattern(0, 10))
	r.want(c, "handshake")
	r.wantData(c, script.Pattern(0, 10))
	refused(c) // TLS is on
	r.write(c, 10)
	c.wantSome(0, 10)

	half := r.plain()
	r.do(half, "losewrite")
	r.want(half, "writelost")
	refused(half)

	closing := r.plain()
	r.do(closing, "push")
	r.want(closing, "registered")
	r.do(closing, "lose")
	refused(closing)
}
