package wirenet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// saying is a socket on which comes what a test has written down; "" is silence until the
// deadline.
type saying struct {
	net.PacketConn // nil: no other method is called
	says           []string
	sent           int
	late           []time.Duration
}

func (s *saying) ReadFrom(p []byte) (int, net.Addr, error) {
	if len(s.says) == 0 {
		return 0, nil, net.ErrClosed
	}
	text := s.says[0]
	s.says = s.says[1:]
	if text == "" {
		return 0, nil, os.ErrDeadlineExceeded
	}
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, text[0]}), 53)
	return copy(p, text[1:]), net.UDPAddrFromAddrPort(from), nil
}

func (s *saying) WriteTo(p []byte, _ net.Addr) (int, error) {
	s.sent++
	return len(p), nil
}

func (s *saying) SetReadDeadline(at time.Time) error {
	s.late = append(s.late, time.Until(at))
	return nil
}

func TestRequest(t *testing.T) {
	peer := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 53}
	for _, c := range []struct {
		name string
		says []string
		sent int
		want string
		err  error
	}{
		{"answered", []string{"\x01yes"}, 1, "yes", nil},
		{"late", []string{"", "", "\x01yes"}, 3, "yes", nil},
		{"what is no answer, and another's", []string{"\x01no", "\x02yes", "\x01yes"}, 1, "yes", nil},
		{"never", []string{"", "\x01no", "", "", "", "\x01yes"}, 4, "", os.ErrDeadlineExceeded},
		{"closed", []string{""}, 2, "", net.ErrClosed},
	} {
		s := &saying{says: c.says}
		r := Request{Conn: s, Peer: peer, Tries: 4, Timeout: time.Hour}
		m, err := r.Send([]byte("?"), make([]byte, 8), func(m []byte) bool { return string(m) == "yes" })
		if string(m) != c.want || !errors.Is(err, c.err) || s.sent != c.sent {
			t.Errorf("%s: found %q, %v, sent %d times, wanted %q, %v, %d", c.name, m, err, s.sent, c.want, c.err,
				c.sent)
		}
		if len(s.late) != c.sent || slices.Max(s.late) < time.Minute {
			t.Errorf("%s: deadlines in %v", c.name, s.late)
		}
	}
	for _, r := range []Request{{}, {Timeout: -1, Tries: -1}} {
		s := &saying{says: slices.Repeat([]string{""}, 9)}
		r.Conn, r.Peer = s, peer
		_, err := r.Send(nil, nil, nil)
		if !errors.Is(err, os.ErrDeadlineExceeded) || s.sent != 5 || slices.Max(s.late) > time.Second {
			t.Errorf("without settings: %v, sent %d times in %v", err, s.sent, s.late)
		}
	}
}
