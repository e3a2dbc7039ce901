package reactortest

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// Backend is a kind of transport, with a kind of protocol, for Suite.
type Backend struct {
	// Serve starts a listener whose protocols are scripted: by a Script, or by a
	// guest that obeys the same words. All of it ends with the test. Where
	// Settings names a limit of time or size, it holds for the listener.
	Serve func(*testing.T, Settings) *Server

	Column    Column
	TLS       bool // Dial gives TLS connections
	Cut       bool // what the clients' TLS sends comes in pieces: each header by the byte, the rest in two
	Unix      bool // Unix sockets: no reset
	LateReset bool // a reset is told at the resume or the next write
	Holds     bool // the script can have connections wait for their protocol
	// Traps is set where a fault ends more than its connection's protocol: the
	// control connection would go with it.
	Traps bool
	// Share is set where a server is dear to make: rows with the same settings
	// have one, if they don't end it. When its control connection is lost, the
	// next connection must be the control connection of a new script.
	Share bool
}

// Settings are what a row needs of its server; 0 is the server's default.
type Settings struct {
	CloseTimeout, WriteTimeout, ClosedTimeout time.Duration
	HandshakeTimeout                          time.Duration
	MaxQueued                                 int

	alone bool // the row needs a server of its own
}

// Server is a listener whose protocols are scripted.
type Server struct {
	// Dial connects, and is done with it before TLS's handshake.
	Dial func() (net.Conn, error)
	// Client is the TLS configuration of clients; nil on plain transports.
	Client *tls.Config
	// Peer is the TLS configuration of a server for localhost that protocols trust.
	Peer *tls.Config
	// StopListening returns when nobody listens any more.
	StopListening func() error
	// Shutdown is Reactor.Shutdown.
	Shutdown func(context.Context) error
	// Advance turns the clock, and returns when every loop is at rest. It is nil where
	// time passes by itself: then limits of time are short, and rows wait for what is
	// to happen.
	Advance func(time.Duration)
	// LimitFDs has the system run out of descriptors at so many; 0 ends that.
	// Nil where that can't be done.
	LimitFDs func(int)
}

// short is a limit of time for rows that wait until it has passed.
const short = 200 * time.Millisecond

// much is more than the system buffers of a connection take, and less than the
// default hard cap.
const much = 12 << 20

// row is one thing that a connection promises.
type row struct {
	name     string
	settings Settings
	run      func(*rig)
}

var rows = []row{
	{"connectionMade/before any read", Settings{}, rowMade},
	{"connectionMade/a fault in it aborts", Settings{alone: true}, rowMadeFault},
	{"dataReceived/chunks", Settings{}, rowData},
	{"connectionLost/once, last, not nested", Settings{}, rowLostOnce},
	{"write/high water pauses reading and the producer", Settings{}, rowWater},
	{"write/the producer's and the protocol's pause are separate", Settings{}, rowSeparatePauses},
	{"write/over the hard cap", Settings{MaxQueued: 1 << 20}, rowCap},
	{"write/without progress for write_timeout", Settings{WriteTimeout: short}, rowWriteTimeout},
	{"write/writeSequence", Settings{}, rowSequence},
	{"write after loseConnection", Settings{}, rowWriteAfterLose},
	{"loseConnection/flushes", Settings{}, rowLoseFlushes},
	{"loseConnection/stops reading", Settings{}, rowLoseStopsReading},
	{"loseConnection/a slow reader gets everything", Settings{CloseTimeout: short}, rowSlowReader},
	{"loseConnection/close_timeout", Settings{CloseTimeout: short}, rowCloseTimeout},
	{"loseConnection with a producer/waits", Settings{}, rowLoseProducer},
	{"loseConnection with a producer/within close_timeout", Settings{CloseTimeout: short}, rowLoseProducerTimeout},
	{"loseConnection with a producer/within close_timeout, half-closed", Settings{CloseTimeout: short},
		rowLoseProducerHalfClosed},
	{"abortConnection", Settings{}, rowAbort},
	{"abortConnection/inside connectionLost does nothing", Settings{}, rowAbortInLost},
	{"peer closes its writing side/not half-closeable", Settings{}, rowFin},
	{"peer closes its writing side/half-closeable", Settings{}, rowHalfClose},
	{"FIN together with data", Settings{}, rowFinWithData},
	{"FIN or reset while reading is paused/FIN", Settings{}, rowFinPaused},
	{"FIN or reset while reading is paused/reset", Settings{}, rowResetPaused},
	{"FIN or reset while reading is paused/closed_timeout", Settings{ClosedTimeout: short}, rowClosedTimeout},
	{"loseWriteConnection/flushes", Settings{}, rowLoseWrite},
	{"loseWriteConnection/waits for a producer", Settings{}, rowLoseWriteProducer},
	{"loseWriteConnection/both sides closed", Settings{}, rowBothClosed},
	{"loseWriteConnection/waits for the handshake", Settings{}, rowLoseWriteAtOnce},
	{"pause and resume reading", Settings{}, rowPause},
	{"pause and resume reading/resume after loseConnection", Settings{}, rowResumeAfterLose},
	{"producers/one at a time", Settings{}, rowOneProducer},
	{"producers/pull", Settings{}, rowPull},
	{"producers/pull, with bytes to be delivered", Settings{}, rowPullAndRead},
	{"producers/push before TLS is up", Settings{}, rowProducerInHandshake},
	{"producers/stopped on loss", Settings{}, rowStopProducing},
	{"startTLSClient/plain text first, then TLS", Settings{}, rowStartTLSClient},
	{"startTLSClient/another server than was wanted", Settings{}, rowStartTLSClientOther},
	{"startTLSClient/moments", Settings{}, rowStartTLSClientMoments},
	{"handOver/queue, bytes and the peer's end", Settings{}, rowHandOver},
	{"handOver/half-closed", Settings{}, rowHandOverHalfClosed},
	{"handOver/paused", Settings{}, rowHandOverPaused},
	{"handOver/nothing follows in its callback", Settings{}, rowHandOverNothingFollows},
	{"handOver/again and again", Settings{}, rowHandOverAgain},
	{"handOver/moments", Settings{}, rowHandOverMoments},
	{"protocol that is late/what came before it", Settings{}, rowHeld},
	{"protocol that is late/half-closed before it", Settings{}, rowHeldFin},
	{"protocol that is late/refused", Settings{}, rowHeldRefused},
	{"protocol that is late/reset before it", Settings{}, rowHeldReset},
	{"protocol that is late/handshake_timeout", Settings{HandshakeTimeout: short}, rowHeldTimeout},
	{"timers", Settings{}, rowTimers},
	{"timers and closing", Settings{}, rowTimerAfterLoss},
	{"idle timeout", Settings{}, rowIdle},
	{"idle timeout flushes", Settings{}, rowIdleFlushes},
	{"listening stops", Settings{alone: true}, rowStopListening},
	{"shutdown/lets connections finish", Settings{alone: true}, rowShutdownDrains},
	{"shutdown/ends the rest", Settings{alone: true}, rowShutdownEnds},
	{"out of file descriptors", Settings{alone: true}, rowDescriptors},
	{"protocol fault", Settings{alone: true}, rowFault},
}

// Suite runs every row of what a connection promises, each as a subtest with the
// row's name. Rows with limits of time wait for them on real sockets, and turn
// the clock where there is one; no row sleeps.
func Suite(t *testing.T, b Backend) {
	servers := map[Settings]*Server{}
	ran := map[string]bool{}
	var names []string
	for _, row := range rows {
		names = append(names, row.name)
		passed := t.Run(row.name, func(one *testing.T) {
			noting(one, ran, row.name, func() {
				if !b.Share || row.settings.alone {
					row.run(newRig(one, b, b.Serve(one, row.settings), false))
					return
				}
				if servers[row.settings] == nil {
					servers[row.settings] = b.Serve(t, row.settings)
				}
				row.run(newRig(one, b, servers[row.settings], true))
			})
		})
		if !passed { // nobody knows what it has left behind
			delete(servers, row.settings)
		}
	}
	if b.Column.Name != "" {
		b.Column.check(t, names, ran)
	}
}
