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

// Decode reads the message's body.
func (m *Message) Decode(to any) error {
	if err := json.Unmarshal(m.Body, to); err != nil {
		return fmt.Errorf("a message %q: %w", m.Kind, err)
	}
	return nil
}

// CloseFiles closes the files that came with the message.
func (m *Message) CloseFiles() {
	for _, f := range m.Files {
		_ = f.Close() // a duplicate
	}
	m.Files = nil
}

// Conn is one end. Any goroutine may send, and one at a time may receive.
type Conn struct {
	socket  *net.UnixConn
	sending sync.Mutex
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

// Send sends one message. The files stay the caller's.
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
	header := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	header = binary.LittleEndian.AppendUint32(header, uint32(len(files)))
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.writeHeader(header, files); err != nil {
		return err
	}
	_, err = c.socket.Write(text)
	return err
}

// Receive waits for the next message; io.EOF says that the other end has closed, or its
// process has ended.
func (c *Conn) Receive() (*Message, error) {
	header, files, cut, err := c.readHeader()
	m := &Message{Files: files}
	if err != nil {
		m.CloseFiles()
		return nil, err
	}
	size, count := binary.LittleEndian.Uint32(header), binary.LittleEndian.Uint32(header[4:])
	if cut && count <= MaxFiles {
		m.Missing = max(0, int(count)-len(files))
	}
	if size > maxBody || int(count) != len(files)+m.Missing {
		m.CloseFiles()
		return nil, fmt.Errorf("found a message of %d bytes with %d files, %d of which came, wanted at most %d bytes",
			size, count, len(files), maxBody)
	}
	text := make([]byte, size)
	if _, err = io.ReadFull(c.socket, text); err == nil {
		err = json.Unmarshal(text, m)
	}
	if err != nil {
		m.CloseFiles()
		return nil, err
	}
	return m, nil
}
