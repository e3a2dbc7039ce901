package reactor

import (
	"errors"
	"slices"
	"syscall"
	"time"
)

// halt ends the goroutines of a stream until resume, and tells what they have read and
// written short of. They end at once: their calls get a deadline that has passed.
func (s *portableSys) halt(fd FD) (ahead, behind []byte, err error) {
	c, err := s.stream(fd)
	if err != nil {
		return nil, nil, err
	}
	if err := c.halt(); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.in {
		ahead = append(ahead, b.b[b.r:b.w]...)
	}
	return ahead, slices.Clone(c.out), nil
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

func (c *portableStream) halt() error {
	c.mu.Lock()
	if c.conn == nil || c.closed {
		c.mu.Unlock()
		return syscall.ENOTCONN
	}
	c.halted = make(chan struct{})
	if c.reading {
		c.conn.SetReadDeadline(past) // fails on a closed socket only, which the read tells
	}
	if c.writing {
		c.conn.SetWriteDeadline(past)
	}
	halted := c.halted
	c.noteHalt()
	c.mu.Unlock()
	<-halted
	c.mu.Lock()
	defer c.mu.Unlock()
	err := errors.Join(c.conn.SetReadDeadline(time.Time{}), c.conn.SetWriteDeadline(time.Time{}))
	switch {
	case c.err != nil:
		err = c.err
	case c.dead:
		err = syscall.EPIPE
	case c.shut && !c.shutDone:
		err = errors.New("its writing side is being closed")
	}
	if err != nil {
		c.unhalt()
		c.startRead() // a poller has it
	}
	return err
}

// noteHalt ends the wait of halt when no goroutine is left. mu is held.
func (c *portableStream) noteHalt() {
	if c.halted != nil && !c.reading && !c.writing {
		select {
		case <-c.halted:
		default:
			close(c.halted)
		}
	}
}

// unhalt has the writer go on; the reader does when a poller has the stream. mu is held.
func (c *portableStream) unhalt() {
	c.halted = nil
	if (len(c.out) > 0 || c.shut && !c.shutDone) && !c.writing && !c.dead {
		c.writing = true
		go c.writeOut()
	}
}

func (s *portableSys) refill(fd FD, ahead, behind []byte) error {
	c, err := s.stream(fd)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted = make(chan struct{})
	c.out, c.behind = slices.Clone(behind), len(behind)
	for len(ahead) > 0 {
		b := s.bufs.get(true)
		b.w = copy(b.b, ahead)
		ahead = ahead[b.w:]
		c.in = append(c.in, b)
		c.ahead += len(b.b)
	}
	return nil
}

func (s *portableSys) resume(fd FD) {
	if c, err := s.stream(fd); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unhalt()
	}
}
