package main

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// wire is a socket whose peer says what a test has written down; "" is silence until the
// deadline.
type wire struct {
	net.PacketConn // nil: no other method is called
	says           []string
	sent           []string // to somewhere else with a stranger before it
}

const stranger = "?" // what begins with it comes from somewhere else

func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	if len(w.says) == 0 {
		return 0, nil, os.ErrDeadlineExceeded
	}
	text := w.says[0]
	w.says = w.says[1:]
	if text == "" {
		return 0, nil, os.ErrDeadlineExceeded
	}
	rest, other := strings.CutPrefix(text, stranger)
	return copy(p, rest), peerAt(other), nil
}

func (w *wire) WriteTo(p []byte, to net.Addr) (int, error) {
	text := string(p)
	if to.String() != peerAt(false).String() {
		text = stranger + text
	}
	w.sent = append(w.sent, text)
	return len(p), nil
}

func (w *wire) SetReadDeadline(time.Time) error { return nil }

func peerAt(other bool) net.Addr {
	a := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}
	if other {
		a.Port = 2
	}
	return a
}

// begin is a transfer whose client says something, where there is a file f.
func begin(t testing.TB, says ...string) (*transfer, *wire) {
	t.Helper()
	s := &server{Store: files.Store{Limit: 1 << 10, Files: map[string]string{"f": "123456789"}}}
	if err := s.Fill(); err != nil {
		t.Fatal(err)
	}
	w, peer := &wire{says: says}, peerAt(false)
	return &transfer{server: s, Request: wirenet.Request{Conn: only{w, peer}, Peer: peer}, size: 512}, w
}

const (
	readIt, writeIt  = "\x00\x01f\x00octet\x00", "\x00\x02f\x00octet\x00"
	small, confirmed = "blksize\x008\x00", "\x00\x06blksize\x008\x00"
	ack0, ack1, ack2 = "\x00\x04\x00\x00", "\x00\x04\x00\x01", "\x00\x04\x00\x02"
	data1, data2     = "\x00\x03\x00\x0112345678", "\x00\x03\x00\x029"
)

func TestTransfer(t *testing.T) {
	for _, c := range []struct {
		name, request string
		says, want    []string
		err           error
	}{
		{"read", readIt, []string{ack1}, []string{"\x00\x03\x00\x01123456789"}, nil},
		{"read with options", readIt + small, []string{ack0, ack1, ack2}, []string{confirmed, data1, data2}, nil},
		{"an answer is lost", readIt + small, []string{ack0, "", ack1, "", ack2},
			[]string{confirmed, data1, data1, data2, data2}, nil},
		{"an answer comes twice", readIt + small, []string{ack0, ack1, ack1, ack2},
			[]string{confirmed, data1, data2}, nil},
		{"a stranger answers", readIt + small, []string{ack0, stranger + ack1, ack1, ack2},
			[]string{confirmed, data1, stranger + "\x00\x05\x00\x05unknown transfer ID\x00", data2}, nil},
		{"a stranger tells of an error", readIt + small, []string{ack0, stranger + "\x00\x05\x00\x05?\x00", ack1, ack2},
			[]string{confirmed, data1, data2}, nil},
		{"the client gives up", readIt, []string{"\x00\x05\x00\x00no\x00"}, []string{"\x00\x03\x00\x01123456789"},
			errEnded},
		{"nobody answers", readIt, nil, slices.Repeat([]string{"\x00\x03\x00\x01123456789"}, 5),
			os.ErrDeadlineExceeded},
		{"the size is told", readIt + "tsize\x000\x00", []string{ack0, ack1},
			[]string{"\x00\x06tsize\x009\x00", "\x00\x03\x00\x01123456789"}, nil},
		{"write", writeIt, []string{"\x00\x03\x00\x01123456789"}, []string{ack0, ack1}, nil},
		{"write with options", writeIt + small, []string{data1, data2}, []string{confirmed, ack1, ack2}, nil},
		{"a block comes twice", writeIt + small, []string{data1, data1, data2}, []string{confirmed, ack1, ack2}, nil},
		{"the last answer is lost", writeIt + small, []string{data1, data2, data2},
			[]string{confirmed, ack1, ack2, ack2}, nil},
		{"the last block comes for ever", writeIt + small,
			append([]string{data1}, slices.Repeat([]string{data2}, 9)...),
			append([]string{confirmed, ack1}, slices.Repeat([]string{ack2}, 5)...), nil},
	} {
		tr, w := begin(t, c.says...)
		if err := tr.do(c.request); !errors.Is(err, c.err) || !slices.Equal(w.sent, c.want) {
			t.Errorf("%s: found %v, sent %q\nwanted %v, %q", c.name, err, w.sent, c.err, c.want)
		}
		if f, err := tr.Get("f"); err != nil || string(f.Data) != "123456789" {
			t.Errorf("%s: found %q, %v", c.name, f.Data, err)
		}
	}
}

func TestRequests(t *testing.T) {
	for text, want := range map[string]error{
		"": errIllegal, "\x00\x01": errIllegal, "1\x00": errIllegal, "\x00": errIllegal, "\x00\x00\x00\x00": errIllegal,
		"\x00\x01f\x00octet": errIllegal, "\x00\x03f\x00octet\x00": errIllegal, "\x00\x01f\x00": errIllegal,
		"\x00\x01f\x00mail\x00": errIllegal, "\x00\x01f\x00octet\x00blksize\x00": errIllegal,
		"\x00\x01g\x00octet\x00": files.ErrNone, "\x00\x01f\x00OCTET\x00other\x00x\x00": nil,
		"\x00\x02g\x00NetASCII\x00": nil,
	} {
		tr, _ := begin(t, ack1, "\x00\x03\x00\x01a\r\nb\r\x00")
		if err := tr.do(text); !errors.Is(err, want) {
			t.Errorf("%q: found %v, wanted %v", text, err, want)
		} else if f, err := tr.Get("g"); err == nil && string(f.Data) != "a\nb\r" {
			t.Errorf("found %q", f.Data)
		}
	}
	for options, want := range map[string]string{
		"blksize\x0065464\x00TSIZE\x000\x00timeout\x003\x00new\x001\x00": "" +
			"blksize\x0065464\x00tsize\x009\x00timeout\x003\x00",
		"blksize\x007\x00timeout\x00256\x00other\x001\x00": "", "blksize\x0065465\x00": "",
	} {
		tr, _ := begin(t)
		_ = tr.do(readIt + options) // nobody answers
		if string(tr.confirmed) != want {
			t.Errorf("%q: found %q, wanted %q", options, tr.confirmed, want)
		}
	}
	tr, _ := begin(t, "\x00\x03\x00\x01"+strings.Repeat("x", 512), "\x00\x03\x00\x02"+strings.Repeat("x", 512))
	if err := tr.do("\x00\x02g\x00octet\x00"); !errors.Is(err, files.ErrFull) {
		t.Errorf("found %v, wanted %v", err, files.ErrFull)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("\x00\x01file\x00octet\x00blksize\x001024\x00tsize\x000\x00", data1, data2)
	f.Fuzz(func(t *testing.T, request, first, second string) {
		tr, _ := begin(t, first, second)
		_ = tr.do(request)
		if tr.size < 8 || tr.size > 65464 || tr.Timeout < 0 {
			t.Errorf("found %+v", tr.Request)
		}
	})
}
