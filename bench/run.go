package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// quiet is what other programs may take of all processors together, as a
	// share of one, in a run that counts at once.
	quiet = 0.05
	// costly bounds a run on a slow server: processor time per second that
	// the run was to take.
	costly = 3
	// look is how long the machine is watched to tell whether it is quiet.
	look = 200 * time.Millisecond
)

// drive sends a number of messages to a server. It returns what the client
// measured, and the processor time that the client used.
type drive func(p *process, requests int) (sample, time.Duration, error)

// loaded starts a server, checks what it answers, warms it up and measures it
// under load. Another try follows if other programs took much of the machine:
// the quietest counts.
func (b *bench) loaded(c *benchCase, s server, d drive) (m sample, err error) {
	p, err := b.serve(c, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = p.end(err) }()
	if err := c.check(p.addr); err != nil {
		return nil, err
	}
	requests := int(float64(c.rate) * b.o.seconds)
	if c.name == "wake" { // each has its turn, and was idle before
		requests = 2 * c.conns
	}
	warm, err := b.timed(p, d, max(requests/20, 2*c.conns*c.inFlight))
	if err != nil {
		return nil, err
	}
	most := int(costly * b.o.seconds * 1e6 / max(warm.sample[cpuUs], 0.01))
	requests = max(min(requests, most), 2*c.conns*c.inFlight)
	var best timedRun
	until := time.Now().Add(b.o.patience)
	for try := 0; ; try++ {
		if err := b.awaitQuiet(until); err != nil {
			return nil, err
		}
		run, err := b.timed(p, d, requests)
		if err != nil {
			return nil, err
		}
		if try == 0 || run.share() < best.share() {
			best = run
		}
		if best.share() <= quiet || time.Now().After(until) {
			break
		}
	}
	best.sample[others] = best.share()
	b.disturbed += best.others
	b.ran += best.took
	return best.sample, nil
}

// awaitQuiet waits until other programs leave the processors alone, but no
// longer than until. The servers have nothing to do meanwhile.
func (b *bench) awaitQuiet(until time.Time) error {
	for time.Now().Before(until) {
		was, err := busyTime()
		if err != nil {
			return err
		}
		began := time.Now()
		select {
		case <-time.After(look):
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
		is, err := busyTime()
		if err != nil {
			return err
		}
		if (is - was).Seconds() <= 2*quiet*time.Since(began).Seconds() {
			return nil
		}
	}
	return nil
}

// timedRun is a run and how much it was disturbed.
type timedRun struct {
	sample       sample
	took, others time.Duration
}

// share is what other programs took, in processors.
func (r timedRun) share() float64 { return r.others.Seconds() / r.took.Seconds() }

func (b *bench) timed(p *process, d drive, requests int) (timedRun, error) {
	busy, err1 := busyTime()
	cpu, err2 := p.cpu()
	if err := errors.Join(err1, err2); err != nil {
		return timedRun{}, err
	}
	began := time.Now()
	m, used, err := d(p, requests)
	if err != nil {
		return timedRun{}, err
	}
	r := timedRun{sample: m, took: time.Since(began)}
	ended, err1 := p.cpu()
	all, err2 := busyTime()
	if err := errors.Join(err1, err2); err != nil {
		return timedRun{}, err
	}
	r.others = max(0, all-busy-(ended-cpu)-used)
	done := float64(requests)
	if n := m[counted]; n > 0 {
		done = n
	}
	m[cpuUs] = float64((ended - cpu).Nanoseconds()) / 1e3 / done
	return r, nil
}

// busyTime is the time that all processors together have spent in programs, or
// were taken away by a hypervisor. proc(5): user, nice, system, and steal.
func busyTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: found %q, wanted cpu and 8 numbers", line)
	}
	sum := 0
	for _, i := range []int{1, 2, 3, 8} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * clockTick, nil
}
