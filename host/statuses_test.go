package host

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host/config"
)

// asked are the calls of testdata/asks_everything.wat, in its order.
var asked = strings.Fields(`write writeSequence writeSequence/1025 state setTimeout setTimeout/-1 getPeer getHost reason
	getPeerCertificate negotiatedProtocol setTcpNoDelay/1 setTcpNoDelay/2 setTcpKeepAlive/0 pauseProducing
	resumeProducing registerProducer/2 registerProducer/1 registerProducer/again unregisterProducer startTLS
	startTLSClient/none listener handOver connectAs/bad
	callLater/-1 callLater reset reset/-1 cancel cancel/again connect/bad connect/denied connect/-1 listen/bad
	listen/denied stopListening/unknown config time
	random random/65537 emit/5 define define/gauge define/4 define/name record record/-1
	record/unknown count name/none size/-1 read/none getPeer/small loseWriteConnection loseConnection abortConnection`)

// What is answered about a connection, and about timers and the rest, by what
// works in a callback (ABI.md, Order and moments). A 1 stands for every number
// above 0.
const (
	unknownConn  = "-1 -1 -2 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 "
	openConn     = "0 0 -2 0 0 -2 1 1 -2 0 0 0 -2 0 0 0 -2 0 -5 0 -7 -2 0 -4 -2 "
	producing    = "0 0 -2 16 0 -2 1 1 -2 0 0 0 -2 0 0 0 -2 -5 -5 0 -7 -2 0 -4 -2 "
	stoppedConn  = "0 0 -2 0 0 -2 1 1 -2 0 0 0 -2 0 0 0 -1 -1 -1 0 -7 -2 0 -4 -2 "
	endingConn   = "0 0 -2 0 0 0 1 1 1 0 0 0 0 0 0 0 -1 -1 -1 0 0 0 0 -1 -1 "
	failedConn   = "0 0 -2 64 0 0 1 1 1 0 0 0 0 0 0 0 -1 -1 -1 0 0 0 0 -1 -1 "
	queriedConn  = "-8 -8 -2 0 -8 -8 1 1 -2 0 0 -8 -8 -8 -8 -8 -8 -8 -8 -8 -8 -8 0 -8 -8 "
	restoredConn = "0 0 -2 0 -8 -8 1 1 -2 0 0 -8 -8 -8 -8 -8 -8 -8 -8 -8 -8 -8 0 -8 -8 "

	metricCalls = "1 -5 -2 -2 0 -2 -2 0 -2 -2 -2 " // of assets too: the same wherever they are made
	queryCalls  = "-8 -8 -8 -8 -8 -8 -8 -8 -8 -8 -8 -1 1 1 0 -2 -2 " + metricCalls
	startCalls  = "-2 1 -8 -8 -8 -8 -8 -8 -8 -2 -4 -1 1 1 0 -2 -2 " + metricCalls
	heldCalls   = "-2 1 -8 -8 -8 -8 -8 -8 -8 -8 -8 -1 1 1 0 -2 -2 " + metricCalls
	buildCalls  = "-2 1 0 -2 0 -6 -8 -8 -8 -8 -8 -1 1 1 0 -2 -2 " + metricCalls
	runCalls    = "-2 1 0 -2 0 -6 -2 -4 -2 -2 -4 -1 1 1 0 -2 -2 " + metricCalls

	unknownEnd  = "0 -1 -1 -1"
	notNow      = "0 -8 -8 -8"
	makingLater = "0 -1 -8 -8"
	ended       = "0 0 0 0"
	notAsked    = "0"
)

// answers are by callback; connecting is connect's handle in the callback that
// it was called in, restoreMaking is restoreState for it, and ended is a handle
// after connectionLost.
var answers = map[string]string{
	"initialize":     unknownConn + queryCalls + unknownEnd,
	"receiveBuffer":  unknownConn + queryCalls + unknownEnd,
	"logPrefix":      unknownConn + queryCalls + unknownEnd,
	"instanceMade":   unknownConn + queryCalls + unknownEnd,
	"startFactory":   unknownConn + startCalls + unknownEnd,
	"buildProtocol":  queriedConn + buildCalls + notNow,
	"connectionMade": openConn + runCalls + notAsked,
	"dataReceived":   openConn + runCalls + notAsked,
	"unknown":        unknownConn + runCalls + unknownEnd,
	"connecting":     unknownConn + runCalls + notAsked,
	"connectFailed":  failedConn + runCalls + ended,
	"delayedCall":    producing + runCalls + notAsked,
	"stateVersion":   queriedConn + queryCalls + notNow,
	"saveState":      queriedConn + queryCalls + notNow,
	"restoreBuffer":  unknownConn + queryCalls + unknownEnd,
	"restoreState":   restoredConn + heldCalls + notNow,
	"restoreMaking":  unknownConn + heldCalls + makingLater,
	"stopProducing":  stoppedConn + runCalls + ended,
	"connectionLost": endingConn + runCalls + ended,
	"ended":          unknownConn + runCalls + unknownEnd,
	"stopFactory":    unknownConn + queryCalls + unknownEnd,
}

// TestStatuses: what each host call answers in each callback.
func TestStatuses(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(string(isolation), func(t *testing.T) {
			p := config.Plugin{Module: "testdata/asks_everything.wasm", Isolation: isolation}
			p.Allow.Connect = []string{"tcp://127.0.0.1:9"}
			v := serveVirtual(t, withoutImage(configuration(p)))
			v.sys.Silence("tcp", "127.0.0.1:9")
			c, err := v.sys.Dial("tcp", v.Listeners()[0].String()[len("tcp://"):])
			if err != nil {
				t.Fatal(err)
			}
			say := func() {
				settle(v.Host, v.sys)
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				v.turn(t, 0)
				settle(v.Host, v.sys)
			}
			say()
			v.turn(t, time.Second) // delayedCall
			if out, err := v.ReloadPlugin(context.Background(), "guest", true); err != nil || out.Migrated != 2 {
				t.Fatalf("%+v, %v", out, err)
			}
			v.turn(t, 30*time.Second) // clientConnectionFailed
			say()
			c.Reset()
			settle(v.Host, v.sys)
			v.turn(t, time.Second) // delayedCall again
			told := map[string]bool{}
			for _, line := range v.logs.all("guest") {
				callback, got, _ := strings.Cut(line["text"].(string), " ")
				told[callback] = true
				compare(t, callback, strings.Fields(got), strings.Fields(answers[callback]))
			}
			for callback := range answers {
				if !told[callback] {
					t.Errorf("%s did not come", callback)
				}
			}
		})
	}
}

func compare(t *testing.T, callback string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: found %v, wanted %v", callback, got, want)
		return
	}
	for n, w := range want {
		if got[n] != w {
			t.Errorf("%s: %s answered %s, wanted %s", callback, asked[n], got[n], w)
		}
	}
}
