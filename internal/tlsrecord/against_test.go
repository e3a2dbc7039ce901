package tlsrecord

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// sizes are those around what a layer might treat in another way.
func sizes() []int {
	s := []int{1000, 1024, 4096, 16368, 16369, 16383, 16384, 16385, 16400, 32767, 32768, 32769, 70000}
	for n := 1; n <= 300; n++ {
		s = append(s, n)
	}
	return s
}

// readPlain opens records until n bytes of data have come, and answers what
// asks for an answer.
func readPlain(t *testing.T, c *Conn, w io.ReadWriter, n int) []byte {
	t.Helper()
	var got []byte
	for len(got) < n {
		plain, err := c.Open(nil, readRecord(t, w))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, plain...)
		write(t, w, c.Answer(nil))
	}
	return got
}

func write(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// exchange sends a size to crypto/tls and takes it back.
func exchange(t *testing.T, ours *Conn, w *wire, peer io.ReadWriter, n int) {
	t.Helper()
	want := pattern(n)
	length := ours.SealedLen(n)
	sealed := ours.Seal(nil, want)
	if len(sealed) != length {
		t.Fatalf("%d bytes are sealed in %d, SealedLen has said %d", n, len(sealed), length)
	}
	write(t, w, sealed)
	got := make([]byte, n)
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes to the peer came otherwise: %v", n, err)
	}
	write(t, peer, want)
	if got := readPlain(t, ours, w, n); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes from the peer came otherwise", n)
	}
}

// TestAgainstLibrary talks with crypto/tls in both roles, by every suite, and
// is closed by both ends, one after the other.
func TestAgainstLibrary(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		ours, w, peer := shake(t, client).takeOver(t, client)
		if client { // the server's ticket is dropped
			if plain, err := ours.Open(nil, readRecord(t, w)); len(plain) > 0 || err != nil || ours.useless != 1 {
				t.Fatalf("the ticket is opened as %d bytes, %v", len(plain), err)
			}
		}
		for _, n := range sizes() {
			exchange(t, ours, w, peer, n)
		}
		write(t, w, ours.CloseNotify(nil))
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer read %v where close_notify came", err)
		}
		write(t, peer, pattern(100)) // half is open
		readPlain(t, ours, w, 100)
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Open(nil, readRecord(t, w)); !errors.Is(err, io.EOF) {
			t.Errorf("close_notify is opened with %v", err)
		}
	})
}

// TestKeysWear makes both keys wear out after a few records: ours is changed
// by us, and crypto/tls is asked to change its own.
func TestKeysWear(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		for limit := uint64(1); limit < 6; limit++ {
			s := shake(t, client)
			_, w, peer := s.takeOver(t, client)
			first := s.state(client)
			first.Limit = limit
			ours, err := New(first)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 100, 16384, 16385, 70000, 200000, 1, 1, 1, 1, 1, 1, 1} {
				exchange(t, ours, w, peer, n)
				if ours.out.seq > limit || ours.in.seq > limit+13 { // what was on the way when we asked
					t.Fatalf("keys have %d records and %d where %d is the limit", ours.out.seq, ours.in.seq, limit)
				}
			}
			now := ours.State()
			if bytes.Equal(now.In.Secret, first.In.Secret) || bytes.Equal(now.Out.Secret, first.Out.Secret) {
				t.Error("a secret is still the first one")
			}
		}
	})
}

// TestRest goes on behind each Rest: with data, with a key that wears out, with
// an answer, with close_notify, with an alert, and with none behind Wipe.
func TestRest(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		ours, w, peer := shake(t, client).takeOver(t, client)
		ours.limit = 3
		for n := 1; n < 60000; n += n + 11 {
			ours.Rest()
			exchange(t, ours, w, peer, n)
		}
		ours.Rest()
		ours.answer = true
		write(t, w, ours.Answer(nil))
		ours.Rest()
		write(t, w, ours.CloseNotify(nil))
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer read %v where close_notify came", err)
		}
		ours, w, peer = shake(t, client).takeOver(t, client)
		ours.Rest()
		write(t, w, ours.Alert(nil, refuse(badRecordMAC, "a test")))
		if _, err := peer.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the peer read %v where an alert came", err)
		}
		ours, w, peer = shake(t, client).takeOver(t, client)
		ours.Wipe()
		ours.Rest()
		write(t, peer, pattern(1))
		_, err := ours.Open(nil, readRecord(t, w))
		if b := ours.Answer(ours.CloseNotify(ours.Seal(nil, pattern(1)))); err == nil || len(b) > 0 {
			t.Errorf("wiped, it opened with %v and sealed %d bytes", err, len(b))
		}
	})
}

// TestPeerClosesFirst goes on sending where the peer has ended its half.
func TestPeerClosesFirst(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		ours, w, peer := shake(t, false).takeOver(t, client)
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Open(nil, readRecord(t, w)); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		ours.answer = true // it has asked before
		write(t, w, ours.Alert(nil, io.EOF))
		write(t, w, ours.CloseNotify(ours.Seal(nil, pattern(40000))))
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, pattern(40000)) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
	})
}

// TestSent counts the session ticket that crypto/tls's server has sent, and
// goes on behind it.
func TestSent(t *testing.T) {
	eachSuite(t, func(t *testing.T) {
		s := shake(t, true)
		first := readRecord(t, s.clientWire) // nobody has read it yet
		ours, _, _ := s.takeOver(t, false)
		for _, bad := range [][]byte{nil, {23, 3, 3}, make([]byte, 21), make([]byte, 300)} {
			if ours.Sent(bad) {
				t.Errorf("%d bytes that are no record were counted", len(bad))
			}
		}
		write(t, s.serverWire, first) // for the client
		if !ours.Sent(first) || ours.Sent(first) {
			t.Error("the ticket is counted otherwise than once")
		}
		over, _, _ := s.takeOver(t, false)
		if next := ours.Seal(nil, []byte("x")); over.Sent(over.CloseNotify(nil)) || over.Sent(next) {
			t.Error("a record behind close_notify is counted")
		}
		over.Wipe()
		if over.Sent(first) {
			t.Error("a record is counted without secrets")
		}
		ours, w, peer := s.takeOver(t, false)
		ours.out.seq = 1
		exchange(t, ours, w, peer, 100)
	})
}

// TestMoved takes the state over to another Conn after each step, as another
// process does.
func TestMoved(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		ours, w, peer := shake(t, client).takeOver(t, client)
		ours.limit = 4
		for n := 1; n < 60000; n += n + 11 {
			exchange(t, ours, w, peer, n)
			ours.Rest()
			state := ours.State()
			ours.Wipe()
			next, err := New(state)
			if err != nil {
				t.Fatal(err)
			}
			ours = next
		}
		write(t, w, ours.CloseNotify(nil))
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Open(nil, readRecord(t, w)); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		closed, err := New(ours.State())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := closed.Next([]byte("whatever comes")); !errors.Is(err, io.EOF) {
			t.Errorf("after close_notify Next says %v", err)
		}
		if b := append(closed.Seal(nil, []byte("x")), closed.CloseNotify(nil)...); len(b) > 0 {
			t.Errorf("after close_notify %d bytes are sealed", len(b))
		}
	})
}
