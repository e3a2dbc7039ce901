// Command deflate is a filter that stands in front of any plugin: what goes over the wire
// is compressed (zlib, RFC 1950), and the plugin behind notices nothing.
package main

import (
	"bufio"
	"cmp"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	Level int   `json:"level"` // 1, fast, to 9, small
	Ratio int64 `json:"ratio"` // bytes that each of a client's may become, behind a first MiB; 0: any number
}

const (
	piece = 16 << 10 // bytes that are taken at a time, and that wait at most
	free  = 1 << 20  // bytes to which Ratio does not apply
)

var (
	errBehind = errors.New("zlib: bytes behind the stream's end")
	errRatio  = errors.New("zlib: a client's byte becomes more than config.ratio")
)

// filter is the plugin.
type filter struct {
	settings
	net     *wirenet.Server
	reactor *wirehost.Reactor
}

func init() {
	f := &filter{settings: settings{Level: 6, Ratio: 200}}
	f.net = wirenet.ServeConn(f.serve, wirenet.Options{Name: "deflate", Start: f.start, ReadBuffer: piece,
		WriteBuffer: piece})
	wirehost.Register(f.net)
}

func main() {}

// start reads the configuration.
func (f *filter) start(r *wirehost.Reactor) error {
	f.reactor = r
	if err := r.Config(&f.settings); err != nil {
		return err
	}
	if f.Level < 1 || f.Level > 9 || f.Ratio < 0 {
		return fmt.Errorf("config: found level %d and ratio %d, wanted 1 to 9, and 0 at least", f.Level, f.Ratio)
	}
	return nil
}

// serve joins a client's connection with one to the plugin behind. Each direction ends by
// itself; where one fails both connections are reset, so that no stream that was cut looks
// whole.
func (f *filter) serve(client net.Conn) {
	behind, err := f.net.DialAs(context.Background(), client, "plugin", "next")
	if err != nil {
		f.abort(err, client)
		return
	}
	done := make(chan error, 2)
	go func() { done <- pass(behind, client, f.decompress) }()
	go func() { done <- pass(client, behind, f.compress) }()
	for range 2 {
		if err := <-done; err != nil {
			f.abort(err, client, behind) // and with them the other direction ends
			return
		}
	}
	behind.Close()
}

// abort resets connections, of which the first is a client's, and logs why; that somebody
// has reset one is no news.
func (f *filter) abort(err error, conns ...net.Conn) {
	level := wirehost.LevelWarn
	if lost := new(wirenet.LostError); errors.As(err, &lost) {
		level = wirehost.LevelDebug
	}
	// where that fails nobody is left to tell
	_ = f.reactor.Logf(level, "connection of %s reset: %v", conns[0].RemoteAddr(), err)
	for _, c := range conns {
		_ = c.(*wirenet.Conn).Abort() // it fails where it has ended
	}
}

// pass is one direction: its bytes, and its end, which is io.EOF of what gives the bytes.
func pass(to, from net.Conn, bytes func(io.Writer, io.Reader) error) error {
	switch err := bytes(to, from); {
	case errors.Is(err, syscall.EPIPE): // who does not want more has closed in order
		return nil
	case !errors.Is(err, io.EOF):
		return err
	}
	if err := to.(*wirenet.Conn).CloseWrite(); err != nil {
		return err
	}
	n, err := from.Read(make([]byte, 1))
	if n > 0 {
		return errBehind
	} else if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// decompress passes on what a zlib stream has, to its end, no faster than it is taken. A
// stream that does not even begin is empty.
func (f *filter) decompress(to io.Writer, from io.Reader) error {
	in := &counted{Reader: from}
	buffered := bufio.NewReaderSize(in, piece)
	z, err := zlib.NewReader(buffered)
	for out := int64(0); err == nil; {
		var n int64
		n, err = io.CopyN(to, z, piece)
		if out += n; f.Ratio > 0 && out > free+f.Ratio*in.n {
			err = errRatio
		}
	}
	if errors.Is(err, io.EOF) && buffered.Buffered() > 0 {
		return errBehind
	}
	return err
}

// flushed has each piece compressed so that it can be read when it has arrived (a sync flush).
type flushed struct{ *zlib.Writer }

func (w flushed) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, cmp.Or(err, w.Flush())
}

// compress makes one zlib stream of what comes.
func (f *filter) compress(to io.Writer, from io.Reader) error {
	z, err := zlib.NewWriterLevel(to, f.Level)
	if err != nil {
		return err
	}
	_, err = io.Copy(flushed{z}, from)
	return cmp.Or(err, z.Close(), io.EOF)
}
