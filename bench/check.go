package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	checkTimeout = 20 * time.Second
	checkBatches = 8
)

// check looks at what a server answers, where the client of the case does not.
func (c *benchCase) check(addr string) error {
	switch {
	case c.talk != "":
		w := worker{addr: addr}
		conn, err := w.dial()
		if err != nil {
			return err
		}
		return errors.Join(conn.SetDeadline(time.Now().Add(checkTimeout)), talks[c.talk](conn))
	case c.tls, c.lines > 0, c.once, c.name == "wake", c.datagrams:
		return nil
	}
	return checkContent(addr, c.conns, c.size, c.inFlight)
}

// checkContent sends random bytes the way a case does, on all its connections
// at once, and wants the same back: a server that answers with old bytes, as
// from a view of memory that has moved, has the right counts all the same.
func checkContent(addr string, conns, size, inFlight int) error {
	errs := make([]error, conns)
	var wg sync.WaitGroup
	for n := range conns {
		wg.Go(func() { errs[n] = checkOne(addr, size*inFlight) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	return nil
}

func checkOne(addr string, size int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(checkTimeout)); err != nil {
		return err
	}
	seed := [32]byte{}
	rng := rand.NewChaCha8(seed)
	for i := range 32 {
		seed[i] = byte(rand.N(256))
	}
	rng.Seed(seed)
	msg, got := make([]byte, size), make([]byte, size)
	for batch := range checkBatches {
		rng.Read(msg)
		sent := make(chan error, 1)
		go func() { _, err := c.Write(msg); sent <- err }()
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if err := <-sent; err != nil {
			return err
		}
		if !bytes.Equal(msg, got) {
			return fmt.Errorf("batch %d of %d bytes: found other bytes than were sent", batch, size)
		}
	}
	return nil
}
