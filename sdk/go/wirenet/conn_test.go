package wirenet

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
)

func TestReadingStopsWhileNobodyReads(t *testing.T) {
	r := startRig(t, Options{ReadBuffer: 1000}, sdktest.Options{})
	peer, c := r.accept()
	var want strings.Builder
	for i := range 50 {
		text := strings.Repeat(string(rune('a'+i%26)), 300)
		want.WriteString(text)
		peer.Send(text)
	}
	if got := len(c.in); got != 1200 || peer.State()&wirehost.StatePaused == 0 {
		t.Fatalf("%d bytes are held, state %b; wanted 1200, paused", got, peer.State())
	}
	got := make([]byte, want.Len())
	done := start(func(p []byte) (int, error) { return io.ReadFull(c, p) }, got)
	if res := r.wait(done); res.err != nil || string(got) != want.String() {
		t.Fatalf("%v, and the bytes are right: %t", res.err, string(got) == want.String())
	}
	r.until("reading goes on, with nothing held", func() bool { return peer.State()&wirehost.StatePaused == 0 })
}

func TestWriteWaitsForTheOutput(t *testing.T) {
	const buffer, total = 1000, 50_000
	r := startRig(t, Options{WriteBuffer: buffer}, sdktest.Options{Stalled: true})
	peer, c := r.accept()
	text := strings.Repeat("0123456789", total/10)
	done := start(c.Write, []byte(text))
	r.until("Write waits", r.locked(func() bool { return c.full && len(c.out) == buffer }))
	// A pull producer that is registered with output queued is asked when that has gone.
	if q := peer.Queued(); q > 2*buffer {
		t.Errorf("%d bytes are queued, wanted %d at most", q, 2*buffer)
	}
	select {
	case res := <-done:
		t.Fatalf("Write returned %v before its bytes were taken", res)
	default:
	}
	var got strings.Builder
	r.until("all has come", func() bool {
		got.WriteString(peer.Take())
		if q := peer.Queued(); q > 2*buffer {
			t.Fatalf("%d bytes are queued, wanted %d at most", q, 2*buffer)
		}
		peer.Drain()
		return got.Len() >= total
	})
	if res := r.wait(done); res.n != total || res.err != nil {
		t.Errorf("Write returned %v", res)
	}
	if got.String() != text {
		t.Error("other bytes than were written")
	}
	peer.Drain()
	if registered, _ := peer.Producer(); registered {
		t.Error("the producer is registered still, with nothing to write")
	}
}

func TestCloseSendsWhatWasWritten(t *testing.T) {
	r := startRig(t, Options{WriteBuffer: 1000}, sdktest.Options{Stalled: true})
	peer, c := r.accept()
	if res := r.wait(start(c.Write, make([]byte, 1900))); res.err != nil {
		t.Fatal(res.err)
	}
	r.until("full", r.locked(func() bool { return c.full && len(c.out) == 900 }))
	if _, err := c.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	r.poke() // the server's close_timeout is to watch over the rest
	if _, ended := peer.Ended(); ended || !peer.Disconnecting() {
		t.Errorf("ended %t, closing %t; wanted closing, for the output", ended, peer.Disconnecting())
	}
	peer.Drain()
	if out := peer.Output(); len(out) != 1904 || !strings.HasSuffix(out, "last") {
		t.Errorf("found %d bytes, wanted 1904", len(out))
	}
	if reason, _ := peer.Ended(); reason != wirehost.Done {
		t.Errorf("ended: %v", reason)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestHalfClose(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{})
	t.Run("the peer first", func(t *testing.T) {
		peer, c := r.accept()
		peer.Send("question")
		peer.Finish()
		got, err := io.ReadAll(c)
		if string(got) != "question" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := io.WriteString(c, "answer"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		r.poke()
		if reason, ended := peer.Ended(); peer.Output() != "answer" || !ended || reason != wirehost.Done {
			t.Errorf("%q, ended %t: %v", peer.Output(), ended, reason)
		}
	})
	t.Run("we first", func(t *testing.T) {
		peer, c := r.accept()
		if _, err := io.WriteString(c, "question"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "more"); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		r.poke()
		if peer.State()&wirehost.StateWriteClosed == 0 || peer.Output() != "question" {
			t.Errorf("state %b, %q", peer.State(), peer.Output())
		}
		peer.Send("answer")
		peer.Finish()
		if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLoss(t *testing.T) {
	for _, c := range []struct {
		reason  wirehost.Reason
		want    error
		timeout bool
	}{
		{wirehost.Lost, syscall.ECONNRESET, false},
		{wirehost.Timeout, syscall.ETIMEDOUT, true},
		{wirehost.ShuttingDown, syscall.ECONNABORTED, false},
		{wirehost.OverLimit, syscall.ECONNABORTED, false},
	} {
		t.Run(c.reason.String(), func(t *testing.T) {
			r := startRig(t, Options{}, sdktest.Options{})
			peer, conn := r.accept()
			peer.Send("before")
			peer.Break(c.reason)
			got, err := io.ReadAll(conn)
			if string(got) != "before" || !errors.Is(err, c.want) {
				t.Errorf("%q, %v; wanted %v", got, err, c.want)
			}
			var lost *LostError
			if !errors.As(err, &lost) || lost.Reason != c.reason {
				t.Errorf("%v holds no LostError for %v", err, c.reason)
			}
			var ne net.Error
			if !errors.As(err, &ne) || ne.Timeout() != c.timeout {
				t.Errorf("%v: a timeout: %t", err, !c.timeout)
			}
			if _, err := conn.Write([]byte("x")); !errors.Is(err, c.want) {
				t.Errorf("Write: %v", err)
			}
			if err := conn.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func TestLossWakesWhoWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*sdktest.Conn, *Conn)
		want error
	}{
		{"reset", func(p *sdktest.Conn, _ *Conn) { p.Break(wirehost.Lost) }, syscall.ECONNRESET},
		{"close", func(_ *sdktest.Conn, c *Conn) { c.Close() }, net.ErrClosed},
		{"abort", func(_ *sdktest.Conn, c *Conn) { c.Abort() }, net.ErrClosed},
		{"deadline", func(_ *sdktest.Conn, c *Conn) { c.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := startRig(t, Options{WriteBuffer: 100}, sdktest.Options{Stalled: true})
			peer, conn := r.accept()
			read := start(conn.Read, make([]byte, 1))
			write := start(conn.Write, make([]byte, 1000))
			r.until("Write waits", r.locked(func() bool { return conn.full && len(conn.out) == 100 }))
			second := start(conn.Write, make([]byte, 1)) // waits for the first
			c.do(peer, conn)
			for _, done := range []<-chan result{read, write, second} {
				if res := r.wait(done); !errors.Is(res.err, c.want) {
					t.Errorf("%v, wanted %v", res.err, c.want)
				}
			}
		})
	}
}

func TestAbortResets(t *testing.T) {
	r := startRig(t, Options{}, sdktest.Options{Stalled: true})
	peer, c := r.accept()
	if _, err := c.Write([]byte("dropped")); err != nil {
		t.Fatal(err)
	}
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	r.poke()
	if reason, ended := peer.Ended(); !ended || reason != wirehost.Aborted || peer.Output() != "" {
		t.Errorf("ended %t: %v, output %q", ended, reason, peer.Output())
	}
	if err := c.Abort(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Abort: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]net.Addr{
		"tcp://127.0.0.1:7007": &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: 7007},
		"tcp://[::1]:80":       &net.TCPAddr{IP: net.IPv6loopback, Port: 80},
		"unix:///run/x.sock":   &net.UnixAddr{Net: "unix", Name: "/run/x.sock"},
		"tls://example.org:99": endpoint{"tls", "example.org:99"},
		"odd":                  endpoint{"tcp", "odd"},
	} {
		got := address(text)
		if got.Network() != want.Network() || got.String() != want.String() {
			t.Errorf("%s: found %s %s, wanted %s %s", text, got.Network(), got, want.Network(), want)
		}
	}
	r := startRig(t, Options{}, sdktest.Options{})
	if got := r.listener.Addr().String(); got != "0.0.0.0:0" {
		t.Errorf("before a connection: %s", got)
	}
	_, c := r.accept()
	if l, a, p := r.listener.Addr().String(), c.LocalAddr().String(), c.RemoteAddr().String(); l != "127.0.0.1:7007" ||
		a != l || p != "127.0.0.1:50000" {
		t.Errorf("listener %s, local %s, remote %s", l, a, p)
	}
}
