package command

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// forcedWait is how long a command has to end by itself after a second signal.
const forcedWait = time.Second

// await passes on the signals that end a command, and SIGHUP where the command
// wants that. A second one that ends always does: where the command has not ended
// soon after it, whatever it waits for, the process does. stop ends that.
func (a *app) await(reload bool) (signals <-chan os.Signal, stop func()) {
	from := make(chan os.Signal, 16)
	signal.Notify(from, syscall.SIGTERM, os.Interrupt)
	if reload || !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(from, syscall.SIGHUP)
	}
	if reload && upgradeSignal != nil {
		signal.Notify(from, upgradeSignal)
	}
	done := make(chan struct{})
	to := make(chan os.Signal, 4)
	a.excused = new(atomic.Int32)
	go relay(from, to, done, reload, forcedWait, a.excused, func() {
		a.unqueue()
		os.Exit(exitForced)
	})
	return to, func() {
		signal.Stop(from)
		close(done)
	}
}

// goesOn tells the signals that end nothing.
func goesOn(sig os.Signal) bool { return sig == syscall.SIGHUP || sig == upgradeSignal && sig != nil }

// relay passes on signals until done is closed, and calls exit some time, wait,
// after the second one that ends, without those that are excused: they have ended something
// less. to has room for four.
func relay(from <-chan os.Signal, to chan<- os.Signal, done <-chan struct{}, reload bool, wait time.Duration,
	excused *atomic.Int32, exit func()) {
	endings := 0
	var late <-chan time.Time
	for {
		select {
		case sig := <-from:
			if reload && goesOn(sig) {
				if len(to) < 2 { // more than one that waits is one; the others' places are for what ends
					to <- sig
				}
				continue
			}
			counts := endings - int(excused.Load())
			if endings++; counts < 2 {
				to <- sig
			}
			if counts == 1 {
				t := time.NewTimer(wait)
				defer t.Stop()
				late = t.C
			}
		case <-late:
			if endings-int(excused.Load()) >= 2 {
				exit()
			}
		case <-done:
			return
		}
	}
}
