// Command goguest is a Go guest for the benchmarks of package jumps: a server of
// net/http with connections in memory, and single functions of the library.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"
)

// pipe is one end of a connection in memory, of which both ends have room.
type pipe struct {
	in, out chan []byte
	rest    []byte
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		var ok bool
		if p.rest, ok = <-p.in; !ok {
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.out <- bytes.Clone(b)
	return len(b), nil
}

func (p *pipe) Close() error                     { return nil }
func (p *pipe) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (p *pipe) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// one is a listener for one connection.
type one struct{ conns chan net.Conn }

func (o one) Accept() (net.Conn, error) { return <-o.conns, nil }
func (o one) Close() error              { return nil }
func (o one) Addr() net.Addr            { return &net.TCPAddr{} }

var client *pipe

func connect() {
	there, back := make(chan []byte, 4), make(chan []byte, 4)
	client = &pipe{in: back, out: there}
	l := one{make(chan net.Conn, 1)}
	l.conns <- &pipe{in: there, out: back}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s\n", r.RemoteAddr)
	}))
}

// request is what wrk sends.
var request = []byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")

//go:wasmexport serve
func serve(n int32) int32 {
	if client == nil {
		connect()
	}
	sum, b := 0, make([]byte, 4096)
	for range n {
		client.Write(request)
		n, err := client.Read(b)
		if err != nil || !bytes.HasSuffix(b[:n], []byte("hello 127.0.0.1:4000\n")) {
			return -1
		}
		sum += n
	}
	return int32(sum)
}

//go:wasmexport date
func date(n int32) int32 {
	var b []byte
	t := time.Unix(1_700_000_000, 0).UTC()
	for range n {
		b = t.AppendFormat(b[:0], http.TimeFormat)
	}
	return int32(len(b))
}

//go:wasmexport readRequest
func readRequest(n int32) int32 {
	r := bytes.NewReader(nil)
	br := bufio.NewReader(r)
	for range n {
		r.Reset(request)
		br.Reset(r)
		if _, err := http.ReadRequest(br); err != nil {
			return -1
		}
	}
	return n
}

//go:wasmexport fprintf
func fprintf(n int32) int32 {
	var b bytes.Buffer
	for i := range n {
		b.Reset()
		fmt.Fprintf(&b, "%d of %s: %v\n", i, "these", 1.5)
	}
	return int32(b.Len())
}

//go:wasmexport header
func header(n int32) int32 {
	h := http.Header{"Content-Type": {"text/plain"}, "Date": {"today"}, "Content-Length": {"21"}}
	var b bytes.Buffer
	for range n {
		b.Reset()
		h.Write(&b)
	}
	return int32(b.Len())
}

//go:wasmexport channel
func channel(n int32) int32 {
	there, back := make(chan int32), make(chan int32)
	go func() {
		for i := range there {
			back <- i + 1
		}
	}()
	sum := int32(0)
	for i := range n {
		there <- i
		sum += <-back
	}
	close(there)
	return sum
}

//go:wasmexport sorted
func sorted(n int32) int32 {
	words := strings.Fields(strings.Repeat("the quick brown fox jumps over the lazy dog ", 20))
	h := fnv.New32()
	for range n {
		w := append([]string(nil), words...)
		sort.Strings(w)
		h.Write([]byte(w[0]))
	}
	return int32(h.Sum32())
}

func main() {}
