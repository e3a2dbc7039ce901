// Package handover has two processes of the program talk over a pair of sockets:
// messages of JSON, with open files beside them. The files cross as descriptors
// (SCM_RIGHTS of unix(7)), so what is sent stays open in both.
package handover

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// MaxFiles is how many files one message takes: the system's bound is 253.
	MaxFiles = 240
	// maxBody is how long a message's JSON may be, in bytes.
	maxBody = 1 << 30
	// headerSize is the length of a message's JSON and the number of its files.
	headerSize = 8
)

// Message is one message. The files are the receiver's to close.
type Message struct {
	Kind  string          `json:"kind"`
	Body  json.RawMessage `json:"body,omitempty"`
	Files []*os.File      `json:"-"`
	// Missing is how many files were lost on the way, the last ones: the receiver is out of
	// descriptors.
	Missing int `json:"-"`
}

// Decode reads the message's body, once: there may be secrets in it, so it is zeroed.
func (m *Message) Decode(to any) error {
	defer clear(m.Body)
	if err := json.Unmarshal(m.Body, to); err != nil {
		return fmt.Errorf("a message %q: %w", m.Kind, err)
	}
	return nil
}

// CloseFiles closes the files that came with the message.
func (m *Message) CloseFiles() {
	CloseFiles(m.Files)
	m.Files = nil
}

// CloseFiles closes files that another process has as well.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a duplicate
	}
}

// Conn is one end. Any goroutine may send, and one at a time may receive.
type Conn struct {
	socket  *net.UnixConn
	sending sync.Mutex
	next    incoming
}

// incoming is what has come of a message: a deadline that ends a wait loses none of it.
type incoming struct {
	bytes []byte // the header, and what follows it
	files []*os.File
	cut   bool // some files could not be taken
}

// FromFile makes an end of a file that another process has given. It closes the file.
func FromFile(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	err = errors.Join(err, f.Close())
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("found a socket of %s, wanted one of unix", c.LocalAddr().Network()),
			c.Close())
	}
	return &Conn{socket: u}, nil
}

// SetDeadline bounds what is received and sent, as net.Conn does.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// Shutdown ends it for whoever has either end: what was sent can still be received. It is
// to be closed all the same.
func (c *Conn) Shutdown() error { return errors.Join(c.socket.CloseRead(), c.socket.CloseWrite()) }

// Close ends it. The other end receives io.EOF behind what was sent.
func (c *Conn) Close() error { return c.socket.Close() }

// Send sends one message. The files stay the caller's. What it makes of the body, in which
// there may be secrets, is zeroed when it is sent; what encoding/json has made is not.
func (c *Conn) Send(kind string, body any, files ...*os.File) error {
	if len(files) > MaxFiles {
		return fmt.Errorf("a message %q: found %d files, wanted at most %d", kind, len(files), MaxFiles)
	}
	m := Message{Kind: kind}
	var err error
	if m.Body, err = json.Marshal(body); err != nil {
		return fmt.Errorf("a message %q: %w", kind, err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("a message %q: %w", kind, err)
	}
	if len(text) > maxBody {
		return fmt.Errorf("a message %q: found %d bytes, wanted at most %d", kind, len(text), maxBody)
	}
	whole := binary.LittleEndian.AppendUint32(make([]byte, 0, headerSize+len(text)), uint32(len(text)))
	whole = append(binary.LittleEndian.AppendUint32(whole, uint32(len(files))), text...)
	defer clear(whole)
	clear(text)
	clear(m.Body)
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.write(whole, files)
}

// Receive waits for the next message; io.EOF says that the other end has closed, or its
// process has ended. After a deadline that has passed it can be called again.
func (c *Conn) Receive() (*Message, error) {
	m, err := c.receive()
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		if err != nil {
			CloseFiles(c.next.files)
		}
		clear(c.next.bytes) // the message has its body
		c.next = incoming{}
	}
	return m, err
}

func (c *Conn) receive() (*Message, error) {
	in := &c.next
	if err := c.fill(headerSize); err != nil {
		return nil, err
	}
	size, count := binary.LittleEndian.Uint32(in.bytes), binary.LittleEndian.Uint32(in.bytes[4:])
	m := &Message{}
	if in.cut && count <= MaxFiles {
		m.Missing = max(0, int(count)-len(in.files))
	}
	if size > maxBody || int(count) != len(in.files)+m.Missing {
		return nil, fmt.Errorf("found a message of %d bytes with %d files, %d of which came, wanted at most %d bytes",
			size, count, len(in.files), maxBody)
	}
	if err := c.fill(headerSize + int(size)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(in.bytes[headerSize:], m); err != nil {
		return nil, err
	}
	m.Files = in.files
	return m, nil
}

// fill receives until so much of the next message has come.
func (c *Conn) fill(size int) error {
	in := &c.next
	in.bytes = slices.Grow(in.bytes, max(0, size-len(in.bytes)))
	for len(in.bytes) < size {
		n, files, cut, err := c.read(in.bytes[len(in.bytes):size])
		in.bytes = in.bytes[:len(in.bytes)+n]
		in.files, in.cut = append(in.files, files...), in.cut || cut
		if errors.Is(err, io.EOF) && len(in.bytes) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}
