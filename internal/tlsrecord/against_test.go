package tlsrecord

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

var sizes = []int{1, 2, 15, 16, 17, 255, 256, 1000, 1024, 4096, 16383, 16384, 16385, 32768, 40000}

// readPlain opens records until n bytes of data have come.
func readPlain(t *testing.T, c *Conn, w io.Reader, n int) []byte {
	t.Helper()
	var got []byte
	for len(got) < n {
		record := readRecord(t, w)
		plain, err := c.Open(nil, record)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, plain...)
	}
	return got
}

// TestAgainstLibrary talks with crypto/tls in both roles, by every suite.
func TestAgainstLibrary(t *testing.T) {
	eachRole(t, func(t *testing.T, client bool) {
		ours, w, peer := shake(t, client).takeOver(t, client)
		for _, n := range sizes {
			want := pattern(n)
			sealed := ours.Seal(nil, want)
			if _, err := w.Write(sealed); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes to the peer came otherwise: %v", n, err)
			}
			if _, err := peer.Write(want); err != nil {
				t.Fatal(err)
			}
			if got := readPlain(t, ours, w, n); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes from the peer came otherwise", n)
			}
		}
		if _, err := w.Write(ours.CloseNotify(nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer read %v where close_notify came", err)
		}
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Open(nil, readRecord(t, w)); !errors.Is(err, io.EOF) {
			t.Errorf("close_notify is opened with %v", err)
		}
	})
}
