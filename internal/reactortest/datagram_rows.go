package reactortest

import (
	"errors"
	"strings"
	"testing"

	"github.com/wirehost/wirehost/reactor"
)

var datagramRows = []struct {
	name string
	run  func(*datagramRig)
}{
	{"datagramsReceived/records", rowRecords},
	{"datagramsReceived/one callback a batch", rowBatch},
	{"datagramsReceived/none is cut that an empty buffer has room for", rowUncut},
	{"datagramsReceived/cut", rowCut},
	{"pauseProducing/keeps the rest of a batch", rowPauseInBatch},
	{"pauseProducing/what comes waits with the system", rowPauseDatagrams},
	{"send/echo", rowEchoDatagrams},
	{"send/what is no record", rowBadRecords},
	{"send/a full buffer", rowFullBuffer},
	{"loseConnection/stopProtocol, once and last", rowStopOnce},
	{"loseConnection/inside a batch", rowLoseInBatch},
	{"connectionRefused", rowRefused},
	{"open/the peer's port", rowOpen},
	{"join/what is allowed", rowJoin},
	{"setOption/what is allowed", rowSetOption},
	{"configure/other options", rowConfigure},
	{"limit/datagrams a second of a source", rowSourceLimit},
	{"a late owner", rowLateOwner},
	{"fault", rowDatagramFault},
	{"freeze/thaw", rowThaw},
	{"freeze/moved", rowMoved},
	{"close/the reactor's end", rowReactorEnds},
}

// DatagramSuite runs every row of what a datagram socket promises.
func DatagramSuite(t *testing.T, b DatagramBackend) {
	ran := map[string]bool{}
	var names []string
	for _, row := range datagramRows {
		names = append(names, row.name)
		t.Run(row.name, func(t *testing.T) {
			noting(t, ran, row.name, func() { row.run(&datagramRig{T: t, b: b}) })
		})
	}
	if b.Column.Name != "" {
		b.Column.check(t, names, ran)
	}
}

func rowRecords(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	for _, text := range []string{"", "a", "seven b", "eight by", "nine byte"} {
		g.send(text)
		g.want(text)
	}
	g.send(strings.Repeat("x", 9000))
	g.want("9000 bytes")
	if s := g.port.Stats(); s.Received != 6 || s.BytesIn != 9025 || s.Batches != 6 {
		g.Errorf("found %+v", s)
	}
}

func rowBatch(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.held("a", "bb", "ccc", "dddd", "e")
	if g.b.Ahead {
		g.wantAll("a", "bb", "ccc", "dddd", "e")
		return
	}
	g.want("a, bb, ccc, dddd, e")
}

func rowUncut(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() { g.p.buf = g.p.buf[:reactor.MinDatagramBuffer] })
	large := strings.Repeat("x", reactor.MinDatagramBuffer-32)
	g.held("a", large, "b", large)
	g.wantAll("a", "992 bytes", "b", "992 bytes")
}

func rowCut(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() { g.p.buf = g.p.buf[:reactor.MinDatagramBuffer] })
	g.held("a", strings.Repeat("x", reactor.MinDatagramBuffer-31), "b")
	g.wantAll("a", "992 bytes (cut)", "b")
}

func rowPauseInBatch(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	large := strings.Repeat("x", reactor.MinDatagramBuffer-32)
	g.onLoop(func() {
		g.p.buf = g.p.buf[:reactor.MinDatagramBuffer]
		g.p.got = func(reactor.Datagram) { g.p.s.PauseProducing() }
	})
	g.held(large, "a", large, "b")
	for _, want := range []string{"992 bytes", "a", "992 bytes", "b"} {
		g.want(want)
		g.quiet()
		g.onLoop(g.p.s.ResumeProducing)
	}
	g.quiet()
}

func rowPauseDatagrams(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(g.p.s.PauseProducing)
	g.send("a", "b")
	g.quiet()
	g.onLoop(g.p.s.ResumeProducing)
	g.wantAll("a", "b")
}

func rowEchoDatagrams(g *datagramRig) {
	if g.b.Unix {
		g.Skip("a Unix socket's client has no address")
	}
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() { g.p.got = g.echo })
	for _, text := range []string{"", "hello", strings.Repeat("x", 1400), strings.Repeat("y", 9000)} {
		g.send(text)
		g.receive(text)
		g.next()
	}
	g.quiet()
	if s := g.port.Stats(); s.Sent != 4 || s.BytesOut != s.BytesIn || s.Unsent != 0 {
		g.Errorf("found %+v", s)
	}
}

func rowBadRecords(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	long := reactor.AppendDatagram(nil, reactor.Datagram{Payload: make([]byte, 8)})
	family := append([]byte(nil), long...)
	family[6] = 7
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": long[:31], "a payload that runs past the end": long[:39],
		"a family that is none": family,
	} {
		g.onLoop(func() {
			if n, err := g.p.s.Send(b, 1); n != 0 || !errors.Is(err, reactor.ErrBadDatagram) {
				g.Errorf("%s: found %d, %v", name, n, err)
			}
		})
	}
	if s := g.port.Stats(); s.Sent != 0 || s.Unsent != 0 {
		g.Errorf("found %+v", s)
	}
}

func rowFullBuffer(g *datagramRig) {
	if g.b.Limit == nil || g.b.Unix {
		g.Skip("a buffer that can't be filled at will")
	}
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() { g.p.got = func(d reactor.Datagram) { g.echo(d) } })
	g.send("a")
	g.receive("a")
	g.next()
	g.b.Limit(2)
	g.onLoop(func() {
		g.p.got = func(d reactor.Datagram) {
			var records []byte
			for _, text := range []string{"1", "2", "3", "4", "5"} {
				records = reactor.AppendDatagram(records, reactor.Datagram{Peer: d.Peer, Payload: []byte(text)})
			}
			if n, err := g.p.s.Send(records, 5); n != 2 || err != nil {
				g.Errorf("found %d, %v, wanted 2", n, err)
			}
		}
	})
	g.send("b")
	g.want("b")
	g.receive("1")
	g.receive("2")
	g.quiet()
	if s := g.port.Stats(); s.Sent != 3 || s.Unsent != 3 {
		g.Errorf("found %+v, wanted 3 sent, 3 not", s)
	}
}

func rowStopOnce(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() {
		g.p.s.LoseConnection()
		g.p.s.LoseConnection()
		g.p.s.Abort(reactor.Lost, nil)
		if n, err := g.p.s.Send(nil, 3); n != 0 || err != nil {
			g.Errorf("found %d, %v of a send behind the end", n, err)
		}
	})
	g.want("stop: connection done")
	_ = g.client.Send([]byte("late")) // nobody is there
	g.quiet()
}

func rowLoseInBatch(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() {
		g.p.buf = g.p.buf[:reactor.MinDatagramBuffer]
		g.p.got = func(reactor.Datagram) {
			g.p.s.LoseConnection()
			g.p.events <- "asked"
		}
	})
	large := strings.Repeat("x", reactor.MinDatagramBuffer-32)
	g.held(large, large)
	g.want("992 bytes", "asked", "stop: connection done")
	g.quiet()
}

// open makes an outgoing socket with a protocol of its own.
func (g *datagramRig) open(ep reactor.Endpoint) *datagramScript {
	p := newDatagramScript()
	g.onLoop(func() { g.r.Loops()[0].OpenDatagram(ep, p, reactor.DatagramOptions{}) })
	return p
}

func rowRefused(g *datagramRig) {
	if g.b.Unix {
		g.Skip("it can't be opened where nobody is")
	}
	g.serve(reactor.DatagramOptions{})
	ep := g.port.Endpoint()
	g.port.Close(reactor.Done)
	g.want("stop: connection done")
	g.p = g.open(ep)
	g.want("start")
	g.onLoop(func() {
		one := reactor.AppendDatagram(nil, reactor.Datagram{Payload: []byte("a")})
		for range 2 {
			if _, err := g.p.s.Send(one, 1); err != nil {
				g.Error(err)
			}
		}
	})
	g.want("refused")
	g.onLoop(g.p.s.LoseConnection)
	for e := g.next(); e != "stop: connection done"; e = g.next() {
		if e != "refused" {
			g.Fatalf("found %q", e)
		}
	}
}

func rowOpen(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	server := g.p
	g.onLoop(func() { server.got = g.echoOf(server) })
	g.p = g.open(g.port.Endpoint())
	g.want("start")
	if host := g.p.s.Peer(); host != g.port.Endpoint().String() {
		g.Errorf("found peer %s, wanted %s", host, g.port.Endpoint())
	}
	g.onLoop(func() {
		hello := reactor.AppendDatagram(nil, reactor.Datagram{Payload: []byte("hello")})
		if n, err := g.p.s.Send(hello, 1); n != 1 || err != nil {
			g.Errorf("found %d, %v", n, err)
		}
	})
	if !g.b.Unix {
		g.want("hello")
	}
	g.onLoop(g.p.s.LoseConnection)
	g.want("stop: connection done")
	g.p = server
	g.want("hello")
	bad := g.open(reactor.Endpoint{Scheme: "udp", Host: ""})
	g.p = bad
	g.want("stop: no such host")
}

func (g *datagramRig) echoOf(p *datagramScript) func(reactor.Datagram) {
	return func(d reactor.Datagram) { _, _ = p.s.Send(reactor.AppendDatagram(nil, d), 1) } // who waits for it sees
}

func rowSourceLimit(g *datagramRig) {
	if g.b.Unix {
		g.Skip("a Unix socket's client has no address")
	}
	if g.b.Ahead {
		g.Skip("what is read ahead comes at several moments, between which more may come")
	}
	g.serve(reactor.DatagramOptions{PerPeer: reactor.PeerLimits{DatagramsPerSecond: 2}})
	g.held("a", "b", "c", "d")
	g.wantAll("a", "b")
	g.quiet()
	if s := g.port.Stats(); s.Received != 2 || s.Limited != 2 {
		g.Errorf("found %+v", s)
	}
	if err := g.port.Configure(reactor.DatagramOptions{}); err != nil {
		g.Error(err)
	}
	g.send("e")
	g.want("e")
}

func rowLateOwner(g *datagramRig) {
	var share *reactor.Share
	g.serve(reactor.DatagramOptions{Share: func(l *reactor.Loop) *reactor.Share {
		share = l.NewShare()
		return share
	}})
	g.onLoop(share.Hold)
	g.send("a", "b")
	g.quiet()
	g.onLoop(share.Release)
	g.wantAll("a", "b")
	g.onLoop(share.Hold)
	g.onLoop(g.p.s.LoseConnection)
	g.quiet()
	g.onLoop(share.Release)
	g.want("stop: connection done")
	g.quiet()
}

func rowDatagramFault(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() { g.p.got = func(reactor.Datagram) { panic("a fault of the row's") } })
	g.send("a")
	g.want("a", "stop: protocol failed")
	g.quiet()
}

func rowThaw(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.onLoop(func() {
		if _, err := g.p.s.Freeze(); err != nil {
			g.Error(err)
		}
	})
	g.send("a", "b")
	g.quiet()
	g.onLoop(g.p.s.Thaw)
	g.wantAll("a", "b")
	g.onLoop(func() {
		g.p.got = func(reactor.Datagram) {
			if _, err := g.p.s.Freeze(); err == nil {
				g.Error("it was frozen inside of its callback")
			}
		}
	})
	g.send("c")
	g.want("c")
}

// rowMoved moves a socket, with what it holds and what the system has, to another protocol.
func rowMoved(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	large, old := strings.Repeat("x", reactor.MinDatagramBuffer-32), g.p
	g.onLoop(func() {
		old.buf = old.buf[:reactor.MinDatagramBuffer]
		old.got = func(reactor.Datagram) { old.s.PauseProducing() }
	})
	g.held(large, "a")
	g.want("992 bytes")
	g.send("b")
	g.p = newDatagramScript()
	g.move(old)
	g.quiet()
	g.send("c")
	g.onLoop(g.p.s.ResumeProducing)
	g.wantAll("a", "b", "c")
	if len(old.events) > 0 {
		g.Errorf("the old protocol was told %q", <-old.events)
	}
	g.port.Close(reactor.Replaced)
	g.want("stop: replaced")
}

// move has g.p go on with old's socket.
func (g *datagramRig) move(old *datagramScript) {
	g.Helper()
	var moveErr error
	g.onLoop(func() {
		values, err := old.s.Freeze()
		if err != nil || !values.Paused {
			moveErr = errors.Join(err, errors.New("it is not paused"))
			return
		}
		f, err := old.s.File()
		if err != nil {
			old.s.Thaw()
			moveErr = err
			return
		}
		defer f.Close()
		g.p.s, moveErr = g.r.Loops()[0].AdoptDatagram(f, values, g.p, g.port, reactor.DatagramOptions{})
		if moveErr == nil {
			old.s.Forget()
			g.p.s.Thaw()
		}
	})
	if errors.Is(moveErr, reactor.ErrNotSupported) {
		g.Skip("sockets can't be passed here")
	}
	if moveErr != nil {
		g.Fatal(moveErr)
	}
}

func rowReactorEnds(g *datagramRig) {
	g.serve(reactor.DatagramOptions{})
	g.send("a")
	g.want("a")
	if err := g.r.Close(); err != nil {
		g.Error(err)
	}
	g.want("stop: shutting down")
}
