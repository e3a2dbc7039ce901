// Command tftp is a server of TFTP (RFC 1350) with options (RFC 2347 to 2349), as a plugin:
// it keeps the files in memory.
package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // the plugin takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// What a message is, by its second byte.
const opRead, opWrite, opData, opAck, opError, opOptions byte = 1, 2, 3, 4, 5, 6

var (
	errIllegal = errors.New("illegal operation")
	errEnded   = errors.New("the client gave up")
	codes      = map[error]byte{files.ErrNone: 1, files.ErrFull: 3, errIllegal: 4}

	// A line ends with CR LF, and a lone CR has 0 behind it (RFC 764).
	toNetascii   = strings.NewReplacer("\r", "\r\x00", "\n", "\r\n")
	fromNetascii = strings.NewReplacer("\r\x00", "\r", "\r\n", "\n")
)

// server has the files, which are the plugin's config section.
type server struct {
	files.Store
	net    *wirenet.Server
	active sync.Map // requests, behind who asks
}

func init() {
	s := &server{Store: files.Store{Limit: 16 << 20}}
	s.net = wirenet.ServePacket(s.serve, wirenet.Options{Name: "tftp", Start: func(r *wirehost.Reactor) error {
		return errors.Join(r.Config(s), s.Fill())
	}})
	wirehost.Register(s.net)
}

func main() {}

// serve takes requests; each has a socket of its own, as the protocol wants it, and one that
// comes twice none. Where there are as many as there may be, the client asks again.
func (s *server) serve(c net.PacketConn) error {
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	for p := make([]byte, 1<<10); ; {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return err
		}
		go func(request string) {
			key := from.String() + request
			if _, twice := s.active.LoadOrStore(key, nil); twice {
				return
			}
			defer s.active.Delete(key)
			if own, err := s.net.ListenPacket("udp", net.JoinHostPort(host, "0")); err == nil {
				t := &transfer{server: s, Request: wirenet.Request{Conn: only{own, from}, Peer: from}, size: 512}
				if err := t.do(request); err != nil {
					_, _ = own.WriteTo(fmt.Appendf([]byte{0, opError, 0, codes[err]}, "%v\x00", err), from)
				}
				own.Close()
			}
		}(string(p[:n]))
	}
}

// only is a transfer's socket: whoever is not its client is told so, and the transfer goes on
// (RFC 1350, section 4). No error is answered, or two servers might go on for ever.
type only struct {
	net.PacketConn
	client net.Addr
}

func (c only) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if err == nil && from.String() != c.client.String() && n > 1 && p[1] != opError {
		_, _ = c.WriteTo([]byte("\x00\x05\x00\x05unknown transfer ID\x00"), from)
	}
	return n, from, err
}

// transfer is one.
type transfer struct {
	*server
	wirenet.Request
	confirmed []byte // options and values, each with 0 behind it
	size      int    // bytes of a block
	buf       [64 << 10]byte
}

// do reads a request, and does what it wants. Options that nobody here knows, and values,
// are as if they were not there.
func (t *transfer) do(request string) error {
	words := strings.Split(request, "\x00") // "", op and name, mode, options and values, ""
	if len(words) < 4 || len(words)%2 != 0 || words[1] == "" || words[len(words)-1] != "" {
		return errIllegal
	}
	op, name, netascii := words[1][0], words[1][1:], strings.EqualFold(words[2], "netascii")
	f, err := t.Get(name)
	switch {
	case op != opRead && op != opWrite || !netascii && !strings.EqualFold(words[2], "octet"):
		return errIllegal
	case op == opRead && err != nil:
		return err
	case netascii:
		f.Data = []byte(toNetascii.Replace(string(f.Data)))
	}
	for i := 3; i+1 < len(words); i += 2 {
		n, _ := strconv.Atoi(words[i+1])
		option := strings.ToLower(words[i])
		switch {
		case option == "blksize" && n >= 8 && n <= 65464:
			t.size = n
		case option == "timeout" && n >= 1 && n <= 255:
			t.Timeout = time.Duration(n) * time.Second
		case option == "tsize" && op == opRead:
			n = len(f.Data)
		case option != "tsize" || n < 0:
			continue
		}
		t.confirmed = fmt.Appendf(t.confirmed, "%s\x00%d\x00", option, n)
	}
	if op == opRead {
		return t.send(f.Data)
	}
	return t.receive(name, netascii)
}

// ask sends a message until the one of that kind and number answers it, and returns its data.
func (t *transfer) ask(p []byte, op byte, n uint16) ([]byte, error) {
	m, err := t.Send(p, t.buf[:], func(m []byte) bool {
		return len(m) >= 4 && (m[1] == opError || string(m[:4]) == string(numbered(op, n, nil)))
	})
	if err == nil && m[1] == opError {
		err = errEnded
	}
	return m[min(4, len(m)):], err
}

// numbered is DATA or ACK.
func numbered(op byte, n uint16, data []byte) []byte {
	return append([]byte{0, op, byte(n >> 8), byte(n)}, data...)
}

// send has the client read a file.
func (t *transfer) send(data []byte) (err error) {
	if len(t.confirmed) > 0 {
		_, err = t.ask(append([]byte{0, opOptions}, t.confirmed...), opAck, 0)
	}
	for n, size := uint16(1), t.size; err == nil && size == t.size; n++ { // behind 65535 comes 0
		size = min(len(data), t.size)
		_, err = t.ask(numbered(opData, n, data[:size]), opAck, n)
		data = data[size:]
	}
	return err
}

// receive has the client write a file.
func (t *transfer) receive(name string, netascii bool) (err error) {
	room, n, next, data := t.Room(name), uint16(0), numbered(opAck, 0, nil), []byte(nil)
	if len(t.confirmed) > 0 {
		next = append([]byte{0, opOptions}, t.confirmed...)
	}
	for block := t.buf[:t.size]; len(block) == t.size; next = numbered(opAck, n, nil) {
		n++
		if block, err = t.ask(next, opData, n); err != nil {
			return err
		} else if data = append(data, block...); len(data) > room {
			return files.ErrFull
		}
	}
	if netascii {
		data = []byte(fromNetascii.Replace(string(data)))
	}
	if err := t.Put(name, data, time.Now()); err != nil {
		return err
	}
	t.Tries = 1
	for left := 5; left > 0 && err == nil; left-- { // again where the client has not got it
		_, err = t.ask(next, opData, n)
	}
	return nil
}
