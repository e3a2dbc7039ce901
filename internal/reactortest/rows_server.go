package reactortest

import (
	"context"
	"errors"
	"time"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowStopListening(r *rig) {
	c := r.made()
	r.must(r.s.StopListening())
	if conn, err := r.s.Dial(); err == nil {
		conn.Close()
		r.t.Error("connected where nobody should listen")
	}
	c.send(script.Pattern(0, 10))
	r.wantData(c, script.Pattern(0, 10))
	r.write(c, 10)
	c.wantSome(0, 10)
}

// rowShutdownDrains shuts down with a flush that has not ended, and with bytes
// of the peer's that nobody reads.
func rowShutdownDrains(r *rig) {
	c := r.made()
	r.write(c, much)
	r.do(c, "lose")
	c.send(script.Pattern(0, 100))
	r.sync()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { ended <- r.s.Shutdown(ctx) }()
	c.wantAll(much)
	r.want(c, lost(reactor.Done))
	c.raw.Close()
	r.control.raw.Close() // the last connection
	r.must(<-ended)
}

func rowShutdownEnds(r *rig) {
	c := r.made()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		r.t.Errorf("found %v, wanted the context's error", err)
	}
	c.wantAll(0)
}

func rowDescriptors(r *rig) {
	if r.s.LimitFDs == nil {
		r.t.Skip("this system's descriptors can't be limited here; the probes do that in a child process")
	}
	c := r.made()
	r.s.LimitFDs(1)
	refused, err := r.s.Dial()
	r.must(err)
	defer refused.Close()
	r.must(refused.SetDeadline(time.Now().Add(patience)))
	if n, err := refused.Read(make([]byte, 1)); n != 0 || err == nil {
		r.t.Errorf("read %d, %v from a connection for which there was no descriptor", n, err)
	}
	r.pass(0) // until it has refused all that wait
	c.send(script.Pattern(0, 10))
	r.wantData(c, script.Pattern(0, 10))
	r.s.LimitFDs(0)
	d := r.dial()
	r.pass(time.Second) // the longest that a listener rests
	r.want(d, "made")
	if r.b.TLS {
		r.want(d, "handshake")
	}
	d.send(script.Pattern(0, 10))
	r.wantData(d, script.Pattern(0, 10))
}
