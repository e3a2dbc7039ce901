package command

import (
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/logqueue"
)

// logWait is how long the end waits for what is queued to be written.
const logWait = time.Second

// queues are between a command that serves and what it writes to, so that a reader
// that stands still or has gone holds up and ends nothing.
type queues struct {
	out, err *logqueue.Queue // of standard output and standard error
	log      atomic.Pointer[hclog.Logger]
	once     sync.Once      // closes them
	pipes    chan os.Signal // of SIGPIPE, which Go makes an error of the write where it is wanted
}

// queue puts queues before standard output and standard error. It is called once,
// and unqueue after it.
func (a *app) queue() {
	a.queues = &queues{pipes: make(chan os.Signal, 1)}
	signal.Notify(a.queues.pipes, syscall.SIGPIPE)
	a.queues.out = logqueue.New(logqueue.Options{To: a.stdout})
	a.queues.err = logqueue.New(logqueue.Options{To: a.stderr, Tail: true, Lost: a.lost})
	a.stdout, a.stderr = a.queues.out, a.queues.err
	a.tellWith(config.Log{Level: "error"})
}

// unqueue waits, for no longer than logWait, until what is queued has been written.
// Any goroutine.
func (a *app) unqueue() {
	q := a.queues
	if q == nil {
		return
	}
	q.once.Do(func() {
		var closing sync.WaitGroup
		closing.Go(func() { q.out.Close(logWait) })
		q.err.Close(logWait)
		closing.Wait()
		signal.Stop(q.pipes)
	})
}

// tellWith says how the log tells of lines that were lost.
func (a *app) tellWith(c config.Log) {
	c.Level = "error" // the one that every log has
	log := a.logger(c)
	a.queues.log.Store(&log)
}

// lost tells of lines that were lost.
func (a *app) lost(lines, bytes uint64) {
	(*a.queues.log.Load()).Error("log lines were lost: nobody read them", "lines", lines, "bytes", bytes)
}
