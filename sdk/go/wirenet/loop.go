package wirenet

import (
	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// mostSpare is how many empty output buffers are kept.
const mostSpare = 16

// turn lets the goroutines run until all wait, and does for the server what
// they want of it. It ends a callback.
func (s *Server) turn() {
	end, hurry := int64(0), false
	for {
		s.yield()
		s.mu.Lock()
		s.serveWork()
		more := len(s.work) > 0
		s.mu.Unlock()
		if !more && s.all() {
			break
		}
		if now := s.now(); end == 0 {
			end = now + int64(s.options.Budget)
		} else if now >= end {
			hurry = true
			break
		}
	}
	s.mu.Lock()
	if s.ended {
		s.logEnd()
	}
	s.arm(hurry || len(s.early) > 0)
	s.mu.Unlock()
}

// turnActive is turn of a callback that is no tick.
func (s *Server) turnActive() {
	s.calls = 0
	s.turn()
}

// serveWork does for the server what goroutines want of it. mu is held.
func (s *Server) serveWork() {
	for i := 0; i < len(s.work); i++ {
		c := s.work[i]
		s.work[i] = nil
		c.posted = false
		switch {
		case c.ended:
		case c.dial != nil:
			c.dialWork()
		case c.transport != nil:
			c.serveWork()
		}
	}
	s.work = s.work[:0]
	for i := 0; i < len(s.jobs); i++ { // a job may ask for another
		j := s.jobs[i]
		s.jobs[i] = nil
		j.job()
	}
	s.jobs = s.jobs[:0]
}

// job is what something other than a Conn wants of the callbacks' goroutine.
type job interface{ job() } // mu is held

// ask has the callbacks' goroutine do a job. mu is held.
func (s *Server) ask(j job) {
	s.jobs = append(s.jobs, j)
	s.stir()
}

func (c *Conn) serveWork() {
	s, t := c.server, c.transport
	if c.losing {
		if c.aborted {
			s.told("abort", t.AbortConnection())
		}
		return
	}
	c.resume(s, t)
	if c.closed || c.finished {
		c.full = false // hand over the rest, so that the server's close_timeout watches over it
	}
	if !c.aborted && !c.full && !c.halved {
		c.send()
	}
	switch {
	case c.aborted:
		c.losing = true
		s.told("abort", t.AbortConnection())
	case c.closed:
		c.losing = true
		c.unregister()
		s.told("close", t.LoseConnection())
	case c.finished && !c.halved:
		c.halved = true
		c.unregister()
		s.told("close of the writing side", t.LoseWriteConnection())
	}
}

// send hands over what was written, and finds out whether the server holds
// enough.
func (c *Conn) send() {
	s := c.server
	if len(c.out) == 0 {
		c.unregister()
		return
	}
	_, err := c.transport.Write(c.out)
	s.told("write", err)
	s.release(c.out)
	c.out = nil
	c.wakeWriters()
	queued, err := c.transport.Flush()
	s.told("write", err)
	if queued < s.options.WriteBuffer || c.closed || c.finished {
		return
	}
	// The server tells when its output has emptied.
	c.full = true
	if !c.producer {
		c.producer = true
		if err := c.transport.RegisterProducer(output{c}, false); err != nil {
			s.told("wait for the output", err)
			c.producer, c.full = false, false
		}
	}
}

// unregister ends the waiting for output that has emptied.
func (c *Conn) unregister() {
	if c.producer {
		c.producer = false
		c.server.told("end of the waiting for output", c.transport.UnregisterProducer())
	}
}

// buffer is b, or where it is nil an empty buffer to gather output in. mu is
// held.
func (s *Server) buffer(b []byte) []byte {
	if n := len(s.spare); b == nil && n > 0 {
		b = s.spare[n-1]
		s.spare = s.spare[:n-1]
	}
	return b
}

func (s *Server) release(b []byte) {
	if len(s.spare) < mostSpare {
		s.spare = append(s.spare, b[:0])
	}
}

// logEnd logs, once, that the server has ended by itself, as it has. mu is held.
func (s *Server) logEnd() {
	if s.logged || s.stopping {
		return
	}
	s.logged = true
	// as in told
	_ = s.reactor.Log(wirehost.LevelError,
		"wirenet: the server ended, connections are refused: "+orClosed(s.fault).Error())
}
