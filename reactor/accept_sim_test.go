package reactor_test

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/memnet"
	"github.com/wirehost/wirehost/reactor"
)

// TestRestingIsLoggedSeldom: with descriptors that come and go, a listener rests
// a hundred times a second.
func TestRestingIsLoggedSeldom(t *testing.T) {
	var log bytes.Buffer
	h := newHand(t, "tcp", memnet.Options{MaxFDs: 2},
		reactor.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	peer, _ := h.dial()
	for range 100 {
		peer.Reset()
		h.steps()
		var err error
		if peer, err = h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
			t.Fatal(err)
		}
		if _, err = h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Millisecond)
	}
	if n := h.ln.Stats().Accepted; n != 101 { // each rest is a short one
		t.Errorf("found %d connections accepted, wanted 101", n)
	}
	if n := strings.Count(log.String(), "resting"); n != 1 {
		t.Errorf("found %d lines, wanted 1 in a second:\n%.300s", n, log.String())
	}
}

// deaf is a Sys whose pollers take no more sockets while it is on, and whose next
// accepts fail with errs.
type deaf struct {
	*memnet.Sys
	on   bool
	errs []error
}

func (s *deaf) Accept(l reactor.FD) (reactor.FD, error) {
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return 0, err
	}
	return s.Sys.Accept(l)
}

func (s *deaf) NewPoller() (reactor.Poller, error) {
	p, err := s.Sys.NewPoller()
	return &deafPoller{p, s}, err
}

type deafPoller struct {
	reactor.Poller
	s *deaf
}

func (p *deafPoller) Add(fd reactor.FD, token uint64, want reactor.Events) error {
	if p.s.on {
		return syscall.ENOMEM
	}
	return p.Poller.Add(fd, token, want)
}

// TestListenerIsPolledAgain: a system that is short of memory when a listener
// starts, or has rested, does not make it deaf for ever.
func TestListenerIsPolledAgain(t *testing.T) {
	s := &deaf{Sys: memnet.New(memnet.Options{}), on: true}
	h := newHand(t, "tcp", memnet.Options{}, reactor.Config{Sys: s})
	if _, err := h.sys.Dial(reactor.Address(h.ln.Endpoint())); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Minute)
	s.on = false
	h.pass(time.Second)
	if n := h.r.Connections(); n != 1 {
		t.Errorf("found %d connections, wanted 1", n)
	}
}

// TestAcceptGoesOn: peers that have gone before they were accepted do not make a
// listener rest.
func TestAcceptGoesOn(t *testing.T) {
	s := &deaf{Sys: memnet.New(memnet.Options{}), errs: []error{syscall.ECONNABORTED, syscall.EINTR}}
	newHand(t, "tcp", memnet.Options{}, reactor.Config{Sys: s}).dial()
}
