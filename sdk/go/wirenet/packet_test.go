package wirenet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

var (
	peer4 = netip.MustParseAddrPort("192.0.2.7:5353")
	peer6 = netip.MustParseAddrPort("[fe80::1]:99")
)

// bind starts a server with a configured socket, which runs until the test ends.
func bind(t *testing.T, o Options) (*rig, *sdktest.Socket, *PacketConn) {
	t.Helper()
	sockets, end := make(chan net.PacketConn, 1), make(chan struct{})
	o.ServePacket = func(c net.PacketConn) error {
		sockets <- c
		<-end
		return nil
	}
	r := startRig(t, o, sdktest.Options{})
	socket := r.server.Bind("udp://127.0.0.1:53")
	t.Cleanup(func() { close(end) })
	return r, socket, (<-sockets).(*PacketConn)
}

// read runs a ReadFrom.
func read(c *PacketConn, p []byte) (from func() net.Addr, done <-chan result) {
	var addr net.Addr
	done = start(func(p []byte) (n int, err error) {
		n, addr, err = c.ReadFrom(p)
		return n, err
	}, p)
	return func() net.Addr { return addr }, done
}

func TestPacketConn(t *testing.T) {
	r, socket, c := bind(t, Options{})
	if c.LocalAddr().String() != "127.0.0.1:53" || c.LocalAddr().Network() != "udp" || c.RemoteAddr() != nil {
		t.Errorf("local address %v (%s), remote %v", c.LocalAddr(), c.LocalAddr().Network(), c.RemoteAddr())
	}
	socket.Receive(peer4, "one", "", "three and more")
	socket.Receive(peer6, "four")
	p := make([]byte, 5)
	for _, want := range []struct{ text, from string }{
		{"one", "192.0.2.7:5353"}, {"", "192.0.2.7:5353"}, {"three", "192.0.2.7:5353"}, {"four", "[fe80::1]:99"},
	} {
		n, from, err := c.ReadFrom(p)
		if err != nil || string(p[:n]) != want.text || from.String() != want.from {
			t.Errorf("read %q from %v, %v; wanted %q from %s", p[:n], from, err, want.text, want.from)
		}
		if _, err := c.WriteTo(bytes.ToUpper(p[:n]), from); err != nil {
			t.Error(err)
		}
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(peer4.Addr().As16()), 1)
	if _, err := c.WriteToUDPAddrPort([]byte("mapped"), mapped); err != nil {
		t.Error(err)
	}
	if len(socket.Sent) > 0 {
		t.Errorf("%d datagrams were sent before the callback's end", len(socket.Sent))
	}
	r.poke()
	var got []string
	for _, d := range socket.Take() {
		got = append(got, d.To.String()+" "+string(d.Data))
	}
	const want = "192.0.2.7:5353 ONE, 192.0.2.7:5353 , 192.0.2.7:5353 THREE, [fe80::1]:99 FOUR, 192.0.2.7:1 mapped"
	if text := strings.Join(got, ", "); text != want || socket.Sends != 1 {
		t.Errorf("sent %s\nin %d calls; wanted, in one, %s", text, socket.Sends, want)
	}
}

// What a goroutine has not read when the callback ends is the socket's own.
func TestPacketConnKeepsWhatIsNotRead(t *testing.T) {
	_, socket, c := bind(t, Options{})
	for _, text := range []string{"first", "second"} {
		socket.Receive(peer4, text) // which overwrites its buffer afterwards
	}
	for _, want := range []string{"first", "second"} {
		p := make([]byte, 100)
		if n, err := c.Read(p); err != nil || string(p[:n]) != want {
			t.Errorf("read %q, %v, wanted %q", p[:n], err, want)
		}
	}
}

func TestPacketConnStopsReading(t *testing.T) {
	r, socket, c := bind(t, Options{ReadBuffer: 1000})
	socket.Receive(peer4, strings.Repeat("x", 990))
	if !c.paused || !socket.Paused() {
		t.Fatalf("the socket is paused: %t, on the server %t", c.paused, socket.Paused())
	}
	if _, err := c.Read(make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	r.poke()
	if c.paused || socket.Paused() {
		t.Errorf("read, the socket is paused: %t, on the server %t", c.paused, socket.Paused())
	}
}

func TestPacketConnWriteWaits(t *testing.T) {
	r, socket, c := bind(t, Options{})
	for range mostRecords {
		if _, err := c.WriteToUDPAddrPort(nil, peer4); err != nil {
			t.Fatal(err)
		}
	}
	done := start(func(p []byte) (int, error) { return c.WriteToUDPAddrPort(p, peer4) }, []byte("x"))
	select {
	case <-done:
		t.Error("a record more than one call takes did not wait")
	default:
	}
	if got := r.wait(done); got.err != nil || got.n != 1 {
		t.Errorf("%d, %v", got.n, got.err)
	}
	r.until("all are sent", func() bool { return len(socket.Sent) == mostRecords+1 })
	if socket.Sends != 2 {
		t.Errorf("found %d calls, wanted 2", socket.Sends)
	}
}

func TestPacketConnDeadline(t *testing.T) {
	r, _, c := bind(t, Options{})
	if err := c.SetReadDeadline(r.now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, done := read(c, make([]byte, 10))
	r.poke()
	select {
	case got := <-done:
		t.Fatalf("too early: %v", got.err)
	default:
	}
	r.server.Advance(6 * time.Second)
	got := r.wait(done)
	var temporary interface{ Temporary() bool } // which servers such as miekg/dns ask
	if !errors.Is(got.err, os.ErrDeadlineExceeded) || !errors.As(got.err, &temporary) || !temporary.Temporary() {
		t.Errorf("found %v", got.err)
	}
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteToUDPAddrPort(nil, peer4); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("found %v", err)
	}
}

func TestPacketConnClose(t *testing.T) {
	r, socket, c := bind(t, Options{})
	_, done := read(c, make([]byte, 10))
	if _, err := c.WriteToUDPAddrPort([]byte("last"), peer4); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(done); !errors.Is(got.err, net.ErrClosed) {
		t.Errorf("found %v", got.err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	r.poke()
	if reason, ended := socket.Ended(); !ended || reason != wirehost.Done || len(socket.Sent) != 1 {
		t.Errorf("ended %t, %v, sent %d", ended, reason, len(socket.Sent))
	}
	socket.Receive(peer4, "late")
	if _, err := c.WriteToUDPAddrPort(nil, peer4); !errors.Is(err, net.ErrClosed) {
		t.Errorf("found %v", err)
	}
}

// A socket that moves to another version of the plugin ends here.
func TestPacketConnStopped(t *testing.T) {
	r, socket, c := bind(t, Options{})
	_, done := read(c, make([]byte, 10))
	socket.Stop(wirehost.Replaced)
	var lost *LostError
	if got := r.wait(done); !errors.As(got.err, &lost) || lost.Reason != wirehost.Replaced {
		t.Errorf("found %v", got.err)
	}
	if _, err := c.WriteToUDPAddrPort(nil, peer4); !errors.As(err, &lost) {
		t.Errorf("found %v", err)
	}
}

func TestServePacketEnds(t *testing.T) {
	f := ServePacket(func(net.PacketConn) error { return errors.New("no zone") }, Options{})
	s, err := sdktest.Start(f, sdktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	socket := s.Bind("udp://127.0.0.1:53")
	r := &rig{t: t, factory: f, server: s}
	for give := time.Now().Add(20 * time.Second); time.Now().Before(give); {
		if _, ended := socket.Ended(); ended {
			break
		}
		f.turn()
		s.Advance(time.Millisecond)
	}
	_ = r
	if _, ended := socket.Ended(); !ended || len(s.Lines) != 1 || !strings.Contains(s.Lines[0].Text, "no zone") {
		t.Errorf("ended %t, logged %v", ended, s.Lines)
	}
	if s.Accept() != nil {
		t.Error("a connection was accepted")
	}
}

func TestNoServePacket(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	socket := r.server.Bind("udp://127.0.0.1:53")
	if _, ended := socket.Ended(); !ended || len(r.server.Lines) != 1 {
		t.Errorf("ended %t, logged %v", ended, r.server.Lines)
	}
}

func TestListenPacket(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	r.poke()
	done := make(chan net.PacketConn, 1)
	go func() {
		c, err := r.factory.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	r.until("a socket is asked for", func() bool { return len(r.server.Opened()) == 1 })
	socket := r.server.Opened()[0]
	socket.Start()
	c := (<-done).(*PacketConn)
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EDESTADDRREQ) {
		t.Errorf("Write: %v", err)
	}
	if _, err := c.WriteTo([]byte("x"), &net.UnixAddr{}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("WriteTo: %v", err)
	}
	if _, err := c.WriteToUDPAddrPort(make([]byte, mostDatagram+1), peer4); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("too long: %v", err)
	}
	if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(peer4)); err != nil {
		t.Error(err)
	}
	r.poke()
	if len(socket.Sent) != 1 || socket.Sent[0].To != peer4 {
		t.Errorf("sent %v", socket.Sent)
	}
}

func TestDialPacket(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	r.poke()
	done := r.dial(context.Background(), "udp", "192.0.2.7:5353")
	r.until("a socket is asked for", func() bool { return len(r.server.Opened()) == 1 })
	socket := r.server.Opened()[0]
	socket.Start()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	c := got.conn.(*PacketConn)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Error(err)
	}
	if _, err := c.WriteToUDPAddrPort(nil, peer4); !errors.Is(err, net.ErrWriteToConnected) {
		t.Errorf("WriteTo: %v", err)
	}
	r.poke()
	if len(socket.Sent) != 1 || socket.Sent[0].To.IsValid() || string(socket.Sent[0].Data) != "question" {
		t.Errorf("sent %v", socket.Sent)
	}
	socket.Refuse()
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Read: %v", err)
	}
	socket.Receive(peer4, "answer")
	p := make([]byte, 10)
	if n, err := c.Read(p); err != nil || string(p[:n]) != "answer" {
		t.Errorf("read %q, %v", p[:n], err)
	}
}

func TestDialPacketFails(t *testing.T) {
	t.Run("given up", func(t *testing.T) {
		r := startRig(t, Options{}, sdktest.Options{})
		r.poke()
		ctx, cancel := context.WithCancel(context.Background())
		done := r.dial(ctx, "udp", "192.0.2.7:1")
		r.until("a socket is asked for", func() bool { return len(r.server.Opened()) == 1 })
		cancel()
		if got := <-done; !errors.Is(got.err, context.Canceled) {
			t.Errorf("found %v", got.err)
		}
		r.until("it is cancelled", func() bool { return len(r.server.Opened()) == 0 })
	})
	t.Run("not allowed", func(t *testing.T) {
		r := startRig(t, Options{}, sdktest.Options{Deny: true})
		r.poke()
		done := r.dial(context.Background(), "udp", "192.0.2.7:1")
		var got dialled
		r.until("Dial has returned", func() bool {
			select {
			case got = <-done:
				return true
			default:
				return false
			}
		})
		if !errors.Is(got.err, wirehost.ErrNotAllowed) {
			t.Errorf("found %v", got.err)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		r := startRig(t, Options{}, sdktest.Options{})
		r.poke()
		done := r.dial(context.Background(), "udp", "nowhere.invalid:1")
		r.until("a socket is asked for", func() bool { return len(r.server.Opened()) == 1 })
		r.server.Opened()[0].Stop(wirehost.NoSuchHost)
		if got := <-done; !errors.Is(got.err, syscall.EHOSTUNREACH) {
			t.Errorf("found %v", got.err)
		}
	})
}
