package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// loadResult is what "bench load" prints, as JSON.
type loadResult struct {
	Requests int
	Seconds  float64
	P50, P99 float64 // ms
}

// load is a closed-loop client for what redis-benchmark can't do: TLS, and
// connections that live for one request. Every answer's content is compared.
func load(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	addr := fs.String("addr", "", "server's `address`")
	conns := fs.Int("conns", 50, "`number` of connections at a time")
	size := fs.Int("size", 64, "`bytes` in each message")
	lines := fs.Int("lines", 0, "`number` of lines in each message, as long as each other")
	requests := fs.Int("requests", 100000, "`number` of messages in all")
	secure := fs.Bool("tls", false, "with TLS")
	once := fs.Bool("once", false, "a new connection for each message")
	resume := fs.Bool("resume", false, "TLS sessions go on from one before")
	turns := fs.Bool("turns", false, "one connection after the other, so many a second that each rests for 2 s")
	talk := fs.String("talk", "", "a whole dialogue on each connection: http, smtp or ssh")
	udp := fs.Bool("udp", false, "datagrams, from so many sources")
	runs := fs.Bool("runs", false, "those from one source are one to the system")
	questions := fs.Bool("dns", false, "they are questions about the names of package names")
	inFlight := fs.Int("in-flight", 1, "`number` of datagrams on their way from each")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *udp {
		one := datagramSource{addr: *addr, talk: echoed{}, size: *size, inFlight: *inFlight}
		if *questions {
			one.talk, one.size = asked{}, questionSize
		}
		if *runs {
			one.segment = segmentOf(one.size)
		}
		return loadDatagrams(one, *conns, *requests, stdout)
	}
	one := worker{addr: *addr, size: *size, tls: *secure, once: *once || *talk != "", lines: *lines, talk: talks[*talk]}
	if *resume {
		one.sessions = tls.NewLRUClientSessionCache(0)
		c, err := one.open(0)
		if err != nil {
			return err
		}
		c.Close() // its session is what it was for
	}
	if *turns {
		return inTurn(one, *conns, *requests, stdout)
	}
	all := make([]worker, *conns)
	errs := make([]error, *conns)
	var wg, up sync.WaitGroup
	up.Add(*conns)
	begin := make(chan struct{})
	for n := range all {
		all[n] = one
		wg.Go(func() { errs[n] = all[n].run(*requests / *conns, &up, begin) })
	}
	up.Wait()
	began := time.Now()
	close(begin)
	wg.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return err // one stands for all
		}
	}
	var lat []time.Duration
	for _, w := range all {
		lat = append(lat, w.latencies...)
	}
	return printLatencies(lat, took, stdout)
}

func printLatencies(lat []time.Duration, took time.Duration, stdout io.Writer) error {
	slices.Sort(lat)
	at := func(q float64) float64 { return float64(lat[int(q*float64(len(lat)-1))]) / 1e6 }
	return json.NewEncoder(stdout).Encode(
		loadResult{Requests: len(lat), Seconds: took.Seconds(), P50: at(0.5), P99: at(0.99)})
}

// inTurn sends a message on one connection after the other, at a steady rate.
func inTurn(w worker, conns, requests int, stdout io.Writer) error {
	const workers = 16 // so that one answer that is late holds up few
	all := make([]net.Conn, conns)
	var err error
	for n := range all {
		if all[n], err = w.open(n); err != nil {
			return fmt.Errorf("connection %d of %d: %w", n, conns, err)
		}
		defer all[n].Close()
	}
	time.Sleep(settle)
	lat, errs := make([]time.Duration, requests), make([]error, workers)
	began := time.Now()
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			msg, got := make([]byte, w.size), make([]byte, w.size)
			for n := k; n < requests && errs[k] == nil; n += workers {
				fill(msg, uint64(n))
				time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / wakeRate)))
				sent := time.Now()
				errs[k] = exchange(all[n%conns], msg, got)
				lat[n] = time.Since(sent)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return printLatencies(lat, time.Since(began), stdout)
}

// open makes a connection and sends message n on it.
func (w *worker) open(n int) (net.Conn, error) {
	c, err := w.dial()
	if err != nil {
		return nil, err
	}
	msg := make([]byte, w.size)
	fill(msg, uint64(n))
	err = errors.Join(c.SetDeadline(time.Now().Add(checkTimeout)), exchange(c, msg, make([]byte, w.size)),
		c.SetDeadline(time.Time{}))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// worker sends one message at a time.
type worker struct {
	addr      string
	size      int
	lines     int
	tls, once bool
	talk      func(net.Conn) error   // nil = a message that comes back
	sessions  tls.ClientSessionCache // nil = each is new
	dialled   int
	latencies []time.Duration
}

func (w *worker) dial() (net.Conn, error) {
	w.dialled++ // from several addresses: one has 28,000 ports, and others use them too
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+w.dialled%8))}
	c, err := (&net.Dialer{LocalAddr: from}).DialContext(context.Background(), "tcp", w.addr)
	if err != nil {
		return nil, err
	}
	// A reset at the end leaves no port in TIME_WAIT.
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return nil, err
	}
	if !w.tls {
		return c, nil
	}
	// It is our own server's certificate, made a moment ago.
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: w.sessions})
	if err := t.Handshake(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if s := t.ConnectionState(); s.Version != tls.VersionTLS13 || w.dialled > 1 && s.DidResume != (w.sessions != nil) {
		return nil, errors.Join(fmt.Errorf("found %s, resumed: %t; wanted TLS 1.3, resumed: %t",
			tls.VersionName(s.Version), s.DidResume, w.sessions != nil), c.Close())
	}
	return t, nil
}

func (w *worker) run(requests int, up *sync.WaitGroup, begin <-chan struct{}) error {
	var c net.Conn
	var err error
	if !w.once {
		if c, err = w.dial(); err == nil {
			defer c.Close()
		}
	}
	up.Done()
	<-begin
	if err != nil {
		return err
	}
	msg, got := make([]byte, w.size), make([]byte, w.size)
	for n := range requests {
		fill(msg, uint64(n))
		if w.lines > 0 {
			toLines(msg, w.size/w.lines)
		}
		if w.once {
			msg[0] &= 0x7f // a character, so that a rule about text may know what it begins with
		}
		began := time.Now()
		if w.once {
			if c, err = w.dial(); err != nil {
				return err
			}
		}
		if w.talk != nil {
			err = w.talk(c)
		} else {
			err = exchange(c, msg, got)
		}
		if err != nil {
			return err
		}
		if w.once {
			c.Close() // a dialogue has closed it
		}
		w.latencies = append(w.latencies, time.Since(began))
	}
	return nil
}

// exchange sends msg and wants it back.
func exchange(c net.Conn, msg, got []byte) error {
	if _, err := c.Write(msg); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if !bytes.Equal(msg, got) {
		return fmt.Errorf("echo: found other bytes than were sent: %.40x, wanted %.40x", got, msg)
	}
	return nil
}

// toLines makes lines of size bytes, CRLF and all, of a message.
func toLines(msg []byte, size int) {
	for i, c := range msg {
		msg[i] = ' ' + c%('~'-' '+1)
	}
	for end := size; end <= len(msg); end += size {
		copy(msg[end-2:], "\r\n")
	}
}

// fill makes message n: 8 bytes that tell it from others, again and again.
func fill(msg []byte, n uint64) {
	x := rand.N[uint64](1<<63) ^ n
	for i := range msg {
		msg[i] = byte(x >> (i % 8 * 8))
	}
}
